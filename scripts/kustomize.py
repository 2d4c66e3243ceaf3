"""Resolves kustomizations, as far as ours go: a field that is not known here is an error, not ignored.

Where kubectl is, `compare` holds what comes out against what kubectl makes of the same folder.
"""

import base64
import copy
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import yaml

KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "configMapGenerator", "secretGenerator"}
# What a strategic merge finds entries of a list by.
KEYS = {"volumeMounts": "mountPath", "ports": "containerPort", "topologySpreadConstraints": "topologyKey"}
# What makes the hash of a name no word: kustomize, api/hasher.
LETTERS = str.maketrans("013ae", "ghkmt")


class Flaw(Exception):
    """Something that must be mended, in words."""


def load(path: Path) -> list[dict]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def resolve(folder: Path) -> list[dict]:
    """The objects of a kustomization, as they are applied."""
    objects = accumulate(folder, [])
    names = {}
    for thing in objects:
        if thing["metadata"].pop("hashed", False):
            name = thing["metadata"]["name"]
            thing["metadata"]["name"] = names[name] = f"{name}-{hashed(thing)}"
    for thing in objects:
        if thing["kind"] == "Deployment":
            for volume in thing["spec"]["template"]["spec"]["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = names.get(volume["configMap"]["name"], volume["configMap"]["name"])
    return objects


def accumulate(folder: Path, objects: list[dict]) -> list[dict]:
    """`objects`, with those of a folder, and changed by it: resources, generators, components, patches, in this order."""
    wanted = load(folder / "kustomization.yaml")[0]
    if unknown := set(wanted) - KNOWN:
        raise Flaw(f"{folder}: fields that are not resolved here: {sorted(unknown)}")
    for name in wanted.get("resources", []):
        path = folder / name
        add(folder, objects, accumulate(path, []) if path.is_dir() else load(path))
    for entry in wanted.get("configMapGenerator", []):
        generate_config(folder, objects, entry)
    for entry in wanted.get("secretGenerator", []):
        add(folder, objects, [secret(folder, entry)])
    for name in wanted.get("components", []):
        if load(folder / name / "kustomization.yaml")[0]["kind"] != "Component":
            raise Flaw(f"{folder}: {name} is no Component")
        accumulate(folder / name, objects)
    for entry in wanted.get("patches", []):
        for patch in load(folder / entry["path"]):
            apply(folder / entry["path"], objects, patch)
    return objects


def identity(thing: dict) -> tuple:
    """What no two objects may share."""
    return thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"]


def add(folder: Path, objects: list[dict], more: list[dict]) -> None:
    """Takes more objects in, none of them a second time."""
    for thing in more:
        if identity(thing) in map(identity, objects):
            raise Flaw(f"{folder}: a second {identity(thing)}")
        objects.append(thing)


def apply(path: Path, objects: list[dict], patch: dict) -> None:
    """A patch, to the one object that it names."""
    same = [thing for thing in objects if identity(thing) == identity(patch)]
    if len(same) != 1:
        raise Flaw(f"{path} fits {len(same)} objects")
    if patch.get("$patch") == "delete":
        if len(load(path)) > 1:
            raise Flaw(f"{path} deletes by one of several documents, which kustomize can't")
        objects.remove(same[0])
    else:
        merge(same[0], patch)


def merge(into: dict, patch: dict) -> dict:
    """A strategic merge: tables by key, lists of named entries by name, null removes, everything else is replaced."""
    for key, value in patch.items():
        old = into.get(key)
        if value is None:
            into.pop(key, None)
        elif isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
            by = KEYS.get(key, "name")
            for entry in value:
                found = next((other for other in old if other.get(by) == entry[by]), None)
                old.append(copy.deepcopy(entry)) if found is None else merge(found, entry)
        else:
            into[key] = copy.deepcopy(value)
    return into


def generate_config(folder: Path, objects: list[dict], entry: dict) -> None:
    """A ConfigMap of files; its name gets its hash at the end."""
    data = {name: (folder / name).read_text() for name in entry["files"]}
    if entry.get("behavior", "create") == "create":
        metadata = {"name": entry["name"], "namespace": entry["namespace"], "labels": entry["options"]["labels"], "hashed": True}
        add(folder, objects, [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
        return
    if entry["behavior"] != "replace":
        raise Flaw(f"{folder}: a generator's behavior {entry['behavior']} is not resolved here")
    same = [thing for thing in objects if identity(thing) == ("ConfigMap", entry["namespace"], entry["name"])]
    if len(same) != 1:
        raise Flaw(f"{folder}: {len(same)} ConfigMaps to replace")
    same[0]["data"] = data


def hashed(thing: dict) -> str:
    """What a ConfigMap's name ends in: kustomize, api/hasher."""
    content = {"data": thing["data"], "kind": thing["kind"], "name": ""}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # As Go writes them.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(LETTERS)


def secret(folder: Path, entry: dict) -> dict:
    """A Secret of files."""
    if not entry["options"]["disableNameSuffixHash"]:
        raise Flaw(f"{folder}: a name that changes with the content would roll pods, which a renewed pair need not")
    return {
        "apiVersion": "v1", "kind": "Secret", "type": entry["type"],
        "metadata": {"name": entry["name"], "namespace": entry["namespace"], "labels": entry["options"]["labels"]},
        "data": {name: base64.b64encode((folder / name).read_bytes()).decode() for name in entry["files"]},
    }


def kubectl() -> str | None:
    """A kubectl whose kustomize is of today's; none does no harm, as `resolve` does not need it."""
    program = shutil.which("kubectl")
    if program is None:
        return None
    said = subprocess.run([program, "version", "--client", "--output=json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    version = json.loads(said.stdout).get("kustomizeVersion", "") if said.returncode == 0 else ""
    return program if version.startswith("v5.") else None


def compare(folder: Path, objects: list[dict], program: str) -> None:
    """Whether kubectl makes the same of it."""
    made = subprocess.run([program, "kustomize", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise Flaw(f"kubectl kustomize: {made.stderr}")
    theirs = [thing for thing in yaml.safe_load_all(made.stdout) if thing]
    ours, theirs = ({identity(thing): ordered(thing) for thing in each} for each in (objects, theirs))
    for name in ours.keys() | theirs.keys():
        if ours.get(name) != theirs.get(name):
            raise Flaw(f"kubectl makes another {name}:\n{theirs.get(name)}\nthan here:\n{ours.get(name)}")


def ordered(value: object, key: str = "") -> object:
    """With entries that have names in one order: a merge by kubectl puts new ones first."""
    if isinstance(value, dict):
        return {name: ordered(each, name) for name, each in value.items()}
    if isinstance(value, list):
        entries = [ordered(each) for each in value]
        by = KEYS.get(key, "name")
        return sorted(entries, key=lambda each: each[by]) if all(isinstance(each, dict) and by in each for each in entries) else entries
    return value
