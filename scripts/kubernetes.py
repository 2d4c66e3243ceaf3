"""Renders the Kubernetes manifests and the chart, and checks what comes out.

Usage: kubernetes.py render VARIANT [--files DIR]   prints the objects as JSON; DIR holds tls.crt and tls.key for tls-from-files
       kubernetes.py check                          every variant: schemas, typed models, Pod Security, our own rules
       kubernetes.py rules VARIANT                  its alert rules as a plain rules file of Prometheus, for promtool
       kubernetes.py overlay-rule                   what prometheusrule.yaml of the overlay must be
       kubernetes.py variants                       the names
       kubernetes.py alerting                       the names of those with alert rules

Schemas are those of the Kubernetes API itself (strict: unknown fields are errors), typed models those of the API, of
cert-manager and of the Prometheus operator; the rules of the Pod Security Standard "restricted" are checked as the standard
lists them. Kustomizations are resolved by kustomize.py, and held against what kubectl makes of them where there is one.
"""

import copy
import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kubernetes_validate
import yaml

import kustomize
from chart_values import CHART, REFUSED
from kustomize import Flaw, load

TOP = Path("image/kubernetes")
DIGEST = "sha256:" + "a" * 64
# Oldest and newest API that the manifests must fit; the oldest is the chart's kubeVersion.
VERSIONS = ("1.29", "1.37")
COMPONENTS = sorted(path.name for path in (TOP / "components").iterdir())
# Overlays that are made here: each component alone over the base, and all of them at once, in either order.
COMBINED = {**{name: [name] for name in COMPONENTS}, "all": COMPONENTS, "all-reversed": COMPONENTS[::-1]}
OVERLAYS = sorted(path.name for path in (TOP / "overlays").iterdir())
VARIANTS = ["base", *COMBINED, *OVERLAYS, *CHART]
MODELS = {
    "cert-manager.io/v1": "cloudcoil.models.cert_manager.v1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
    "v1": "cloudcoil.models.kubernetes.core.v1",
    "apps/v1": "cloudcoil.models.kubernetes.apps.v1",
    "autoscaling/v2": "cloudcoil.models.kubernetes.autoscaling.v2",
    "networking.k8s.io/v1": "cloudcoil.models.kubernetes.networking.v1",
    "policy/v1": "cloudcoil.models.kubernetes.policy.v1",
}
RULES = TOP / "chart" / "rules.yaml"
OVERLAY_RULE = TOP / "components" / "monitoring" / "prometheusrule.yaml"
RULE_HEAD = """\
# Made from chart/rules.yaml: scripts/kubernetes overlay-rule > image/kubernetes/components/monitoring/prometheusrule.yaml
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: fluxheim
  namespace: fluxheim
  labels:
    app.kubernetes.io/name: fluxheim
spec:
"""
# Variants with a PrometheusRule; no other has one.
ALERTING = ("monitoring", "all", "all-reversed", "example", "chart-everything")
# Metrics that wake nobody by themselves, and why. Every other one of docs/metrics.md is in a rule.
QUIET = {
    "fluxheim_http_errors_total": "part of http_requests_total, and where to look when FluxheimErrorRatio fires",
    "fluxheim_rate_limited_total": "a rule that does what it is for; many refused are told apart only by who runs it",
    "fluxheim_http_request_duration_seconds": "what is slow depends on the application",
    "fluxheim_http_request_size_bytes": "a measure of load",
    "fluxheim_http_received_bytes_total": "a measure of load",
    "fluxheim_http_sent_bytes_total": "a measure of load",
    "fluxheim_http_requests_in_flight": "a measure of load",
    "fluxheim_connections_accepted_total": "a measure of load",
    "fluxheim_connections": "a measure of load",
    "fluxheim_tls_sessions_total": "what clients speak",
    "fluxheim_upstream_server_draining": "somebody ordered it",
    "fluxheim_upstream_server_in_flight": "a measure of load",
    "fluxheim_upstream_connect_duration_seconds": "what is slow depends on the network",
    "fluxheim_upstream_response_duration_seconds": "what is slow depends on the application",
    "fluxheim_file_reloads_total": "what went well",
    "fluxheim_file_reloads_refused_total": "file_reload_failed is 1 as long as it matters",
    "fluxheim_file_loaded_timestamp_seconds": "what went well",
    "fluxheim_acme_orders_total": "acme_failures counts those that matter, by host",
    "fluxheim_acme_issued_timestamp_seconds": "what went well",
    "fluxheim_config_reloads_total": "config_reload_success is 0 as long as it matters",
    "fluxheim_config_reload_timestamp_seconds": "what went well",
    "fluxheim_admin_requests_total": "somebody who may ordered it",
    "fluxheim_spans_exported_total": "what went well",
    "process_cpu_seconds_total": "a measure of load",
    "process_resident_memory_bytes": "the runtime's limit is known only there",
    "process_virtual_memory_bytes": "addresses cost nothing",
}


@contextmanager
def tree(variant: str, files: Path | None) -> Iterator[Path]:
    """A copy of everything, with the pair of `tls-from-files` in its place; gives the folder of `variant`."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder, "kubernetes")
        shutil.copytree(TOP, top)
        for name in ("tls.crt", "tls.key"):
            text = (files / name).read_bytes() if files else b"to be looked at, not used"
            (top / "components" / "tls-from-files" / name).write_bytes(text)
        if variant in COMBINED:
            own = top / "overlays" / variant
            own.mkdir()
            components = [f"../../components/{name}" for name in COMBINED[variant]]
            (own / "kustomization.yaml").write_text(json.dumps({"kind": "Kustomization", "resources": ["../../base"], "components": components}))
        yield top / "base" if variant == "base" else top / "overlays" / variant


def helm(values: dict) -> list[dict]:
    """The objects of the chart, rendered by helm itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"image": {"digest": DIGEST}, **values}, file)
        file.flush()
        program = Path(sys.executable).with_name("helm")
        rendered = subprocess.run(
            [program, "template", "edge", TOP / "chart", "--namespace", "edge", "--values", file.name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
    if rendered.returncode != 0:
        raise Flaw(f"helm: {rendered.stderr.strip()}")
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


def render(variant: str, files: Path | None = None) -> list[dict]:
    """The objects of a variant."""
    if variant in CHART:
        return helm(CHART[variant])
    if variant not in VARIANTS:
        raise Flaw(f"no variant {variant}; there are: {' '.join(VARIANTS)}")
    with tree(variant, files) as folder:
        return kustomize.resolve(folder)


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
        if "secret" in volume and not volume["secret"].get("optional"):
            raise Flaw(f"{volume['name']}: not optional, so that no check can tell that it is missing")
    init = spec["initContainers"][0]["args"]
    if "--check-tls-storage" not in init or init[:2] != proxy["args"]:
        raise Flaw("the init container does not check storage under the proxy's profile")
    pre_stop = int(proxy["lifecycle"]["preStop"]["exec"]["command"][2])
    server = config["server"]
    within = pre_stop + seconds(server["stop_timeout"])
    if within >= spec["terminationGracePeriodSeconds"]:
        raise Flaw(f"preStop and stop_timeout take {within}s, and the pod has {spec['terminationGracePeriodSeconds']}s")
    if pre_stop < 25:
        raise Flaw(f"preStop {pre_stop}s: a load balancer outside needs 20s to 30s to see that a node has no pod left")
    if not all(port in str(config) for port in (":8080", ":8443", ":9090")):
        raise Flaw("the configuration does not listen on the ports that probes, Service and network policy are for")
    if "admin" in config and not any(mount["mountPath"] == "/run/fluxheim" for mount in proxy["volumeMounts"]):
        raise Flaw("[admin] without a folder for its socket")
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
    objects = render(variant)
    if variant not in CHART and (program := kustomize.kubectl()):
        with tree(variant, None) as made:
            kustomize.compare(made, objects, program)
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
    of_scaling(objects)
    return len(objects)


def of_scaling(objects: list[dict]) -> None:
    """Pods are counted by one of two, never both: what is applied again must not undo the other's count."""
    deployment = next(thing for thing in objects if thing["kind"] == "Deployment")
    scaled = any(thing["kind"] == "HorizontalPodAutoscaler" for thing in objects)
    if scaled == ("replicas" in deployment["spec"]):
        raise Flaw("replicas belong in the Deployment exactly where there is no HorizontalPodAutoscaler")


def of_config_names() -> None:
    """Another configuration is another ConfigMap, so that it rolls the pods and the old one stays for `rollout undo`."""
    def name(variant: str) -> str:
        volumes = next(thing for thing in render(variant) if thing["kind"] == "Deployment")["spec"]["template"]["spec"]["volumes"]
        return next(volume for volume in volumes if volume["name"] == "config")["configMap"]["name"]

    if name("base") == name("example") or name("base") != name("monitoring"):
        raise Flaw("the ConfigMap's name does not follow what is in it")


def of_two_overlays() -> None:
    """Two that each bring the base are no installation: what components are for, and what is said instead of one of them being lost."""
    with tree("example", None) as folder:
        (folder / "kustomization.yaml").write_text('{"resources": ["../../base", "../acme"]}')
        try:
            kustomize.resolve(folder)
        except Flaw:
            return
    raise Flaw("two overlays with the same objects were taken together")


def rules(variant: str) -> dict:
    """What Prometheus gets of a variant."""
    found = [thing for thing in render(variant) if thing["kind"] == "PrometheusRule"]
    if len(found) != 1:
        raise Flaw(f"{variant} has {len(found)} PrometheusRules")
    return found[0]["spec"]


def overlay_rule() -> str:
    """The overlay's file: the rules, indented into an object."""
    return RULE_HEAD + "".join(f"  {line}" if line.strip() else line for line in RULES.read_text().splitlines(keepends=True))


def of_rules() -> int:
    """How many alerts there are: the same everywhere, each in the documents, and every metric in one or named as quiet."""
    source = load(RULES)[0]
    for variant in VARIANTS:
        job = CHART.get(variant, {}).get("monitoring", {}).get("job", "fluxheim.*")
        wanted = yaml.safe_load(RULES.read_text().replace('job=~"fluxheim.*"', f'job=~"{job}"'))
        if variant in ALERTING and rules(variant) != wanted:
            raise Flaw(f"the rules of {variant} are not those of {RULES}: scripts/kubernetes overlay-rule > {OVERLAY_RULE}")
    if OVERLAY_RULE.read_text() != overlay_rule():
        raise Flaw(f"not as made from {RULES}: scripts/kubernetes overlay-rule > {OVERLAY_RULE}")
    if any(thing["kind"] == "PrometheusRule" for thing in render("chart-least")):
        raise Flaw("chart-least asks for no rules, and gets them")
    alerts = {rule["alert"]: rule for group in source["groups"] for rule in group["rules"]}
    page = Path("docs/metrics.md").read_text()
    told = set(re.findall(r"^\| (Fluxheim\w+) \|", page, re.M))
    if told != set(alerts):
        raise Flaw(f"docs/metrics.md and {RULES} differ in alerts: {sorted(told ^ set(alerts))}")
    metrics = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    named = set(re.findall(r"\b(?:fluxheim|process)_\w+", " ".join(rule["expr"] for rule in alerts.values())))
    for what, wrong in (
        ("named by rules, and not in docs/metrics.md", named - metrics),
        ("in no rule, and not among those that wake nobody (QUIET)", metrics - named - set(QUIET)),
        ("both in a rule and in QUIET", named & set(QUIET)),
        ("in QUIET, and not in docs/metrics.md", set(QUIET) - metrics),
    ):
        if wrong:
            raise Flaw(f"metrics {what}: {sorted(wrong)}")
    return len(alerts)


def refused() -> None:
    """The chart renders nothing of values that contradict each other, and says which."""
    for name, (values, word) in REFUSED.items():
        try:
            helm(values)
        except Flaw as flaw:
            if word not in str(flaw):
                raise Flaw(f"{name}: the chart does not speak of {word}: {flaw}") from flaw
            continue
        raise Flaw(f"{name}: the chart takes values that contradict each other")


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
            case ["render", "tls-from-files"]:
                raise Flaw("tls-from-files needs --files DIR, with tls.crt and tls.key")
            case ["render", variant, *rest] if not rest or (len(rest) == 2 and rest[0] == "--files"):
                json.dump(render(variant, Path(rest[1]) if rest else None), sys.stdout, indent=1)
            case ["check"]:
                rejected()
                of_config_names()
                of_two_overlays()
                refused()
                for variant in VARIANTS:
                    print(f"{variant}: {checked(variant)} objects")
                print(f"rules: {of_rules()} alerts")
                print("kubectl: " + ("makes the same of each" if kustomize.kubectl() else "not here, or of another version; not asked"))
            case ["rules", variant]:
                yaml.safe_dump(rules(variant), sys.stdout)
            case ["overlay-rule"]:
                print(overlay_rule(), end="")
            case ["alerting"]:
                print("\n".join(ALERTING))
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
