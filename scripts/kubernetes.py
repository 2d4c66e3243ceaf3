"""Renders the Kubernetes manifests and the chart, and checks what comes out.

Usage: kubernetes.py render VARIANT [--files DIR]   prints the objects as JSON; DIR holds tls.crt and tls.key for tls-from-files
       kubernetes.py check                          every variant: schemas, typed models, Pod Security, our own rules
       kubernetes.py rules                          the alert rules as a plain rules file of Prometheus, for promtool
       kubernetes.py variants                       the names

Schemas are those of the Kubernetes API itself (strict: unknown fields are errors), typed models those of the API, of
cert-manager and of the Prometheus operator; the rules of the Pod Security Standard "restricted" are checked as the standard
lists them. Kustomizations are resolved here, as far as ours go: an unknown field of one is an error, not ignored.
"""

import base64
import copy
import importlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

TOP = Path("image/kubernetes")
DIGEST = "sha256:" + "a" * 64
# Oldest and newest API that the manifests must fit; the oldest is the chart's kubeVersion.
VERSIONS = ("1.29", "1.37")
CHART = {
    "chart": {},
    "chart-everything": {
        "monitoring": {"enabled": True}, "persistence": {"enabled": True, "storageClassName": "fast"}, "secrets": ["admin-tokens"],
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}}, "podAnnotations": {"c": "d"}, "nodeSelector": {"e": "f"},
        "tolerations": [{"operator": "Exists"}], "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
    },
    "chart-least": {
        "autoscaling": {"enabled": False}, "networkPolicy": {"enabled": False}, "service": {"type": "ClusterIP"}, "replicas": 1,
    },
}
OVERLAYS = sorted(path.name for path in (TOP / "overlays").iterdir())
VARIANTS = ["base", *OVERLAYS, *CHART]
MODELS = {
    "cert-manager.io/v1": "cloudcoil.models.cert_manager.v1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
    "v1": "cloudcoil.models.kubernetes.core.v1",
    "apps/v1": "cloudcoil.models.kubernetes.apps.v1",
    "autoscaling/v2": "cloudcoil.models.kubernetes.autoscaling.v2",
    "networking.k8s.io/v1": "cloudcoil.models.kubernetes.networking.v1",
    "policy/v1": "cloudcoil.models.kubernetes.policy.v1",
}
# What a strategic merge finds entries of a list by.
KEYS = {"volumeMounts": "mountPath", "ports": "containerPort"}


class Flaw(Exception):
    """Something that must be mended, in words."""


def load(path: Path) -> list[dict]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def merge(into: dict, patch: dict) -> dict:
    """A strategic merge: tables by key, lists of named entries by name, everything else replaced."""
    for key, value in patch.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
            by = KEYS.get(key, "name")
            for entry in value:
                found = next((other for other in old if other.get(by) == entry[by]), None)
                old.append(copy.deepcopy(entry)) if found is None else merge(found, entry)
        else:
            into[key] = copy.deepcopy(value)
    return into


def kustomize(folder: Path, files: Path | None) -> list[dict]:
    """The objects of a kustomization."""
    wanted = load(folder / "kustomization.yaml")[0]
    unknown = set(wanted) - {"apiVersion", "kind", "resources", "patches", "secretGenerator"}
    if unknown:
        raise Flaw(f"{folder}: fields that are not resolved here: {sorted(unknown)}")
    objects = []
    for name in wanted.get("resources", []):
        path = folder / name
        objects += kustomize(path, files) if path.is_dir() else load(path)
    for entry in wanted.get("patches", []):
        for patch in load(folder / entry["path"]):
            same = [each for each in objects if each["kind"] == patch["kind"] and each["metadata"]["name"] == patch["metadata"]["name"]]
            if len(same) != 1:
                raise Flaw(f"{folder}: {entry['path']} fits {len(same)} objects")
            merge(same[0], patch)
    for secret in wanted.get("secretGenerator", []):
        if not secret["options"]["disableNameSuffixHash"]:
            raise Flaw(f"{folder}: a name that changes with the content is not mounted by the Deployment")
        read = lambda name: base64.b64encode((files or folder).joinpath(name).read_bytes()).decode()
        objects.append({
            "apiVersion": "v1", "kind": "Secret", "type": secret["type"],
            "metadata": {"name": secret["name"], "namespace": secret["namespace"], "labels": secret["options"]["labels"]},
            "data": {name: read(name) for name in secret["files"]},
        })
    return objects


def helm(values: dict) -> list[dict]:
    """The objects of the chart, rendered by helm itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"image": {"digest": DIGEST}, **values}, file)
        file.flush()
        program = Path(sys.executable).with_name("helm")
        rendered = subprocess.run(
            [program, "template", "edge", TOP / "chart", "--namespace", "edge", "--values", file.name],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout
    return [document for document in yaml.safe_load_all(rendered) if document]


def render(variant: str, files: Path | None = None) -> list[dict]:
    """The objects of a variant."""
    if variant in CHART:
        return helm(CHART[variant])
    if variant not in VARIANTS:
        raise Flaw(f"no variant {variant}; there are: {' '.join(VARIANTS)}")
    return kustomize(TOP / "base" if variant == "base" else TOP / "overlays" / variant, files)


def of_schema(thing: dict) -> None:
    """The API's own schema and the typed model."""
    version = thing["apiVersion"]
    if version not in MODELS:
        raise Flaw(f"no typed model is named for {version}")
    if "." not in version or version.endswith(".k8s.io/v1"):
        for api in VERSIONS:
            kubernetes_validate.validate(thing, api, strict=True)
    getattr(importlib.import_module(MODELS[version]), thing["kind"]).model_validate(thing)


def of_pod_security(spec: dict) -> None:
    """The Pod Security Standard "restricted", with the "baseline" that it includes."""
    def must(holds: bool, what: str) -> None:
        if not holds:
            raise Flaw(f"Pod Security restricted: {what}")

    pod = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        must(not spec.get(field), f"{field} is set")
    kinds = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes", []):
        must(set(volume) - {"name"} <= kinds, f"volume {volume['name']} is of a kind that is not allowed")
    must("sysctls" not in pod, "sysctls are set")
    for container in spec.get("initContainers", []) + spec["containers"] + spec.get("ephemeralContainers", []):
        own, name = container.get("securityContext", {}), container["name"]
        get = lambda field: own.get(field, pod.get(field))
        must(own.get("allowPrivilegeEscalation") is False, f"{name}: allowPrivilegeEscalation is not false")
        must(not own.get("privileged"), f"{name}: privileged")
        must(get("runAsNonRoot") is True, f"{name}: runAsNonRoot is not true")
        must(get("runAsUser") not in (None, 0), f"{name}: runAsUser is not a number other than 0")
        must(own.get("capabilities", {}).get("drop") == ["ALL"], f"{name}: capabilities are not dropped")
        must(not set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}, f"{name}: capabilities are added")
        must((get("seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost"), f"{name}: no seccomp profile")
        must(own.get("procMount", "Default") == "Default", f"{name}: procMount")
        must(all("hostPort" not in port for port in container.get("ports", [])), f"{name}: hostPort")
        must("seLinuxOptions" not in own and "windowsOptions" not in own, f"{name}: seLinuxOptions or windowsOptions")


def seconds(text: str) -> int:
    """A duration of the configuration in whole seconds."""
    found = re.fullmatch(r"(\d+)(s|m)", text)
    if not found:
        raise Flaw(f"{text}: only whole seconds and minutes are understood here")
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


def of_pod(spec: dict, config: dict) -> None:
    """What this project asks of its own pods, beyond the standard."""
    containers = spec["initContainers"] + spec["containers"]
    proxy = spec["containers"][0]
    if spec["automountServiceAccountToken"] or spec["securityContext"]["fsGroup"] != 65532:
        raise Flaw("a token is mounted, or secrets are not the service group's")
    for container in containers:
        if not container["securityContext"]["readOnlyRootFilesystem"] or "memory" not in container["resources"]["limits"]:
            raise Flaw(f"{container['name']}: writable root or no memory limit")
        if container["image"] != proxy["image"] or container["volumeMounts"] != proxy["volumeMounts"]:
            raise Flaw(f"{container['name']}: another image or other mounts than the proxy's")
    for volume in spec["volumes"]:
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
            raise Flaw(f"{volume['name']}: defaultMode is not 0400")
    init = spec["initContainers"][0]["args"]
    if "--check-tls-storage" not in init or init[:2] != proxy["args"]:
        raise Flaw("the init container does not check storage under the proxy's profile")
    pre_stop = int(proxy["lifecycle"]["preStop"]["exec"]["command"][2])
    server = config["server"]
    within = pre_stop + seconds(server["stop_timeout"])
    if within >= spec["terminationGracePeriodSeconds"]:
        raise Flaw(f"preStop and stop_timeout take {within}s, and the pod has {spec['terminationGracePeriodSeconds']}s")
    if seconds(server["drain_delay"]) + seconds(server["drain_timeout"]) + 1 > seconds(server["stop_timeout"]):
        raise Flaw("the drain does not fit in stop_timeout")


def of_image(variant: str, objects: list[dict]) -> None:
    """By digest in the chart; by the version in Cargo.toml in the base, which a release pins."""
    version = tomllib.loads(Path("Cargo.toml").read_text())["workspace"]["package"]["version"]
    wanted = f"fluxheim/fluxheim@{DIGEST}" if variant in CHART else f"fluxheim/fluxheim:{version}"
    for thing in objects:
        if thing["kind"] == "Deployment":
            for container in thing["spec"]["template"]["spec"]["containers"]:
                if container["image"] != wanted:
                    raise Flaw(f"image {container['image']}, not {wanted}")
    chart = load(TOP / "chart" / "Chart.yaml")[0]
    if (chart["version"], chart["appVersion"]) != (version, version):
        raise Flaw(f"Chart.yaml: version {chart['version']}, appVersion {chart['appVersion']}, and Cargo.toml says {version}")


def checked(variant: str) -> int:
    """How many objects a variant has, all of them well."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tls.crt", "tls.key"):
            Path(folder, name).write_text("x")
        objects = render(variant, Path(folder))
    config = next(thing for thing in objects if thing["kind"] == "ConfigMap")["data"]["fluxheim.toml"]
    for thing in objects:
        try:
            of_schema(thing)
            if thing["kind"] == "Deployment":
                of_pod_security(thing["spec"]["template"]["spec"])
                of_pod(thing["spec"]["template"]["spec"], tomllib.loads(config))
        except Exception as error:  # of three libraries; each tells what is wrong in its message
            raise Flaw(f"{thing['kind']} {thing['metadata']['name']}: {error}") from error
    of_image(variant, objects)
    return len(objects)


def rejected() -> None:
    """The checks find what they are for: a weakened pod is refused, field by field."""
    spec = next(thing for thing in render("base") if thing["kind"] == "Deployment")["spec"]["template"]["spec"]
    weaker = [
        lambda pod: pod["securityContext"].pop("runAsNonRoot"),
        lambda pod: pod["securityContext"].update(runAsUser=0),
        lambda pod: pod["securityContext"].pop("seccompProfile"),
        lambda pod: pod.update(hostNetwork=True),
        lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
        lambda pod: pod["initContainers"][0]["securityContext"].update(allowPrivilegeEscalation=True),
        lambda pod: pod["containers"][0]["ports"][0].update(hostPort=80),
    ]
    for number, weaken in enumerate(weaker):
        pod = copy.deepcopy(spec)
        weaken(pod)
        try:
            of_pod_security(pod)
        except Flaw:
            continue
        raise Flaw(f"weakening {number} of the pod was not noticed")


def main() -> int:
    """The command line above."""
    try:
        match sys.argv[1:]:
            case ["render", variant, *rest] if not rest or (len(rest) == 2 and rest[0] == "--files"):
                json.dump(render(variant, Path(rest[1]) if rest else None), sys.stdout, indent=1)
            case ["check"]:
                rejected()
                for variant in VARIANTS:
                    print(f"{variant}: {checked(variant)} objects")
            case ["rules"]:
                rule = next(thing for thing in render("monitoring") if thing["kind"] == "PrometheusRule")
                yaml.safe_dump(rule["spec"], sys.stdout)
            case ["variants"]:
                print("\n".join(VARIANTS))
            case _:
                print(__doc__, file=sys.stderr)
                return 64
    except Flaw as flaw:
        print(f"kubernetes: {flaw}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
