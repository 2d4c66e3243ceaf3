"""Values that scripts/kubernetes.py renders the chart with: those that must do, and those that it must refuse."""

import re
from pathlib import Path

import yaml

CONFIG = Path("image/kubernetes/base/fluxheim.toml").read_text()
ADMIN = '[admin]\nsocket = "/run/fluxheim/admin.sock"\n'
ACME = Path("image/kubernetes/overlays/acme/fluxheim.toml").read_text()
CHART = {
    "chart": {},
    "chart-everything": {
        "config": CONFIG + ADMIN, "monitoring": {"enabled": True, "labels": {"release": "prometheus"}, "job": "edge|fluxheim.*"}, "secrets": ["admin-tokens", "a.dotted.name", "12"],
        "persistence": {"enabled": True, "storageClassName": "1"}, "admin": {"enabled": True, "storageClassName": "fast"},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}, "loadBalancerSourceRanges": ["192.0.2.0/24"], "loadBalancerClass": "c"},
        "podAnnotations": {"c": "d"}, "podLabels": {"g": "1"}, "nodeSelector": {"e": "f"}, "tolerations": [{"operator": "Exists"}],
        "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}], "dns": [{"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}]}]},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
        "imagePullSecrets": ["registry"], "priorityClassName": "2", "extraEnv": [{"name": "A", "value": "1"}],
        "extraVolumes": [{"name": "pages", "configMap": {"name": "pages"}}], "extraVolumeMounts": [{"name": "pages", "mountPath": "/srv/pages", "readOnly": True}],
    },
    "chart-alone": {
        "persistence": {"enabled": True, "accessModes": ["ReadWriteOncePod"], "existingClaim": "12"}, "autoscaling": {"enabled": False}, "replicas": 1,
    },
    # As the document has it.
    "chart-acme": {"config": ACME, **yaml.safe_load(re.search(r"```yaml\n(.*?)```", Path("docs/kubernetes.md").read_text(), re.S)[1])},
    "chart-least": {
        "autoscaling": {"enabled": False}, "networkPolicy": {"enabled": False}, "service": {"type": "ClusterIP"}, "replicas": 1,
        "monitoring": {"enabled": True, "rules": False},
    },
}
# Values that contradict each other, and a word of what the chart says then.
REFUSED = {
    "replicas": ({"replicas": 3}, "autoscaling.enabled=false"),
    "least and most": ({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}, "maxReplicas"),
    "grace": ({"preStopSeconds": 60}, "terminationGracePeriodSeconds"),
    "stop_timeout": ({"config": CONFIG.replace('stop_timeout = "54s"', 'stop_timeout = "2m"')}, "stop_timeout"),
    "no requests": ({"resources": {"requests": {"cpu": None}}}, "requests.cpu"),
    "no metrics": ({"config": CONFIG[:CONFIG.index("[metrics]")]}, "[metrics]"),
    "another port": ({"config": CONFIG.replace("8443", "443")}, "8443"),
    "no socket": ({"admin": {"enabled": True}}, "[admin]"),
    "no folder": ({"config": CONFIG + ADMIN}, "admin.enabled"),
    "no secret": ({"tlsSecret": "", "config": CONFIG}, "tlsSecret"),
    "one claim": ({"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}, "ReadWriteMany"),
    "twice the same": ({"secrets": ["a", "a"]}, "unique"),
}
