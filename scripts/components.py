"""Lists what the project, or its finished image, is made of, as the facts that scripts/sbom.py takes.

Usage: components.py workspace NAMESPACE
       components.py image NAMESPACE BINARIES OCI    (folder of the programs, folder of the OCI layout)
       components.py licences BINARIES               (the texts that the crates linked into the programs ask to go along)

The image's crates are what the programs themselves say: cargo-auditable writes its list into them while they are
linked. Each must stand in Cargo.lock. What no crate brings (the C library, the Rust library) is named from the
toolchain that linked it. Standard library only.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zlib
from pathlib import Path

TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?$")
PROGRAMS = ("fluxheim", "fluxheim-init")
# Crates that are more than Rust source, and what goes into the programs with them.
BRINGS = {
    "aws-lc-sys": "compiles and links AWS-LC, C and assembly that it brings",
    "libz-ng-sys": "compiles and links zlib-ng, C that it brings",
    "zstd-sys": "compiles and links libzstd, C and assembly that it brings",
    "ring": "compiles and links C and assembly that it brings, through pingora-rustls; not called",
    "webpki-root-certs": "the CA bundle: Mozilla's root certificates, as data",
}


def run(*command: str) -> str:
    """What the command prints; its failure is ours."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def graph(target: str) -> dict:
    """cargo's resolved graph for one target."""
    return json.loads(
        run("cargo", "metadata", "--locked", "--all-features", "--format-version=1", "--filter-platform", target)
    )


def features() -> dict:
    """Which features the crates of the programs are built with here, by name and version, as cargo resolves them."""
    machine = next(target for target in TARGETS if target.startswith(os.uname().machine))
    listed = run(
        "cargo", "tree", "--locked", "--target", machine, "--edges", "normal,build", "--prefix", "none", "--no-dedupe",
        "--format", "{p}|{f}", *(f"--package={program}" for program in PROGRAMS),
    )
    found = {}
    for line in filter(None, listed.splitlines()):
        package, chosen = line.split("|")
        name, version = package.split(" ")[:2]
        # A crate that build scripts link too may be built twice, with other features.
        found.setdefault((name, version.removeprefix("v")), set()).update(filter(None, chosen.split(",")))
    return found


def identity(name: str, version: str) -> str:
    """How a crate is called in an SBOM, and between its components."""
    return f"{name}@{version}"


def crate(package: dict, checksums: dict) -> dict:
    """A package of cargo's as a component, without scope and dependencies."""
    name, version = package["name"], package["version"]
    fact = {"id": identity(name, version), "name": name, "version": version, "type": "library"}
    fact["purl"] = f"pkg:cargo/{name}@{version.replace('+', '%2B')}"
    if package.get("license"):
        fact["license"] = " ".join(package["license"].replace("/", " OR ").split())
    if checksum := checksums.get((name, version)):
        fact["sha256"] = checksum
    if note := BRINGS.get(name):
        fact["note"] = note
    return fact


def locked() -> dict:
    """Checksums of the crates' archives, by name and version; those of the workspace have none."""
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in packages}


def reach(roots: list[str], edges: dict[str, list[str]]) -> set[str]:
    """All that can be come to from the roots, those included."""
    seen, todo = set(), list(roots)
    while todo:
        if (at := todo.pop()) not in seen:
            seen.add(at)
            todo.extend(edges.get(at, []))
    return seen


def workspace() -> tuple[str, list[dict]]:
    """Every crate that a build or a test of the project may take, on any target."""
    checksums, facts, edges, shipped_edges, roots = locked(), {}, {}, {}, []
    for target in TARGETS:
        found = graph(target)
        packages = {package["id"]: package for package in found["packages"]}
        name_of = {key: identity(package["name"], package["version"]) for key, package in packages.items()}
        for node in found["resolve"]["nodes"]:
            me = name_of[node["id"]]
            facts[me] = crate(packages[node["id"]], checksums)
            for dependency in node["deps"]:
                edges.setdefault(me, set()).add(name_of[dependency["pkg"]])
                if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                    shipped_edges.setdefault(me, set()).add(name_of[dependency["pkg"]])
        roots += [name_of[key] for key in found["workspace_members"] if packages[key]["name"] in PROGRAMS]
    shipped = reach(roots, shipped_edges)
    for me, fact in facts.items():
        fact["scope"] = "programs" if me in shipped else "tests"
        fact["depends_on"] = sorted(edges.get(me, ()))
    root = next(me for me in facts if me.startswith("fluxheim@"))
    facts[root]["type"] = "application"
    return root, [facts[me] for me in sorted(facts)]


def embedded(program: Path) -> list[dict]:
    """The list of crates that cargo-auditable wrote into a program."""
    section = subprocess.run(
        ["objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc", program, "/dev/stdout"],
        check=True, stdout=subprocess.PIPE,
    ).stdout
    if not section:
        sys.exit(f"{program} has no list of its crates: build it with scripts/build-binaries")
    return json.loads(zlib.decompress(section))["packages"]


def libraries() -> list[dict]:
    """What the linker takes from the machine: the C library, the compiler's own, Rust's."""
    release = [line.split(": ", 1)[1] for line in run("rustc", "-vV").splitlines() if line.startswith("release: ")][0]
    facts = [{
        "id": f"rust-std@{release}", "name": "rust-std", "version": release, "type": "library",
        "purl": f"pkg:generic/rust-std@{release}", "license": "MIT OR Apache-2.0", "note": "linked statically",
    }]
    for archive, licence in (
        ("libc.a", "LGPL-2.1-or-later"),
        ("libgcc.a", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("libgcc_eh.a", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ):
        path = Path(run("gcc", f"-print-file-name={archive}").strip()).resolve()
        owner = run("dpkg-query", "--search", str(path)).split(":")[0]
        version = run("dpkg-query", "--show", "--showformat=${Version}", owner)
        facts.append({
            "id": f"{archive}@{version}", "name": archive, "version": version, "type": "library",
            "purl": f"pkg:deb/debian/{owner}@{version.replace('+', '%2B')}", "license": licence,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "note": "linked statically",
        })
    return facts


def files(oci: Path) -> tuple[str, list[dict]]:
    """The digest of the image, and every file in it."""

    def blob(digest: str) -> bytes:
        return (oci / "blobs" / digest.replace(":", "/")).read_bytes()

    digest = json.loads((oci / "index.json").read_text())["manifests"][0]["digest"]
    facts = []
    for layer in json.loads(blob(digest))["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"])), mode="r:*") as tar:
            for entry in tar:
                if entry.isfile():
                    content = tar.extractfile(entry).read()
                    path = "/" + entry.name.removeprefix("./")
                    facts.append({
                        "id": f"file:{path}", "name": path, "type": "file", "sha256": hashlib.sha256(content).hexdigest(),
                    })
    return digest, facts


def image(binaries: Path, oci: Path) -> tuple[str, list[dict]]:
    """What the finished image holds."""
    checksums, known = locked(), {}
    for target in TARGETS:
        for package in graph(target)["packages"]:
            known[(package["name"], package["version"])] = package
    digest, contents = files(oci)
    shared, crates, chosen = libraries(), {}, features()
    for program in PROGRAMS:
        listed = embedded(binaries / program)
        names = [identity(package["name"], package["version"]) for package in listed]
        for package, me in zip(listed, names):
            at = (package["name"], package["version"])
            if at not in known or at not in checksums:
                sys.exit(f"{program} was built with {me}, which Cargo.lock does not have: build it anew from this tree")
            fact = crates.setdefault(me, crate(known[at], checksums) | {"scope": "build", "depends_on": set()})
            if enabled := chosen.get(at):
                fact["features"] = " ".join(sorted(enabled))
            fact["depends_on"] |= {names[index] for index in package.get("dependencies", [])}
            if package.get("kind") != "build":
                fact["scope"] = "linked"
        shipped = next(fact for fact in contents if fact["name"] == f"/{program}")
        if shipped["sha256"] != hashlib.sha256((binaries / program).read_bytes()).hexdigest():
            sys.exit(f"/{program} of the image is not {binaries / program}: make the image anew with scripts/build-image")
        root = next(name for package, name in zip(listed, names) if package.get("root"))
        shipped["depends_on"] = [root] + [fact["id"] for fact in shared]
    version = next(fact["version"] for fact in crates.values() if fact["name"] == "fluxheim")
    top = {
        "id": "image", "name": "fluxheim/fluxheim", "version": version, "type": "container",
        "purl": f"pkg:oci/fluxheim@{digest.replace(':', '%3A')}", "depends_on": [fact["id"] for fact in contents],
    }
    for fact in crates.values():
        fact["depends_on"] = sorted(fact["depends_on"])
    return "image", [top, *contents, *shared, *(crates[me] for me in sorted(crates))]


def licences(binaries: Path) -> None:
    """Prints the licence files of every crate that is linked into the programs; the same text once, with all its crates."""
    folders = {}
    for package in graph(TARGETS[0])["packages"] + graph(TARGETS[1])["packages"]:
        if package["source"]:
            folders[(package["name"], package["version"])] = (Path(package["manifest_path"]).parent, package.get("license"))
    texts, bare = {}, []
    linked = {(package["name"], package["version"]) for program in PROGRAMS for package in embedded(binaries / program)
              if package.get("kind") != "build"}
    for at in sorted(linked & set(folders)):
        folder, expression = folders[at]
        found = sorted(path for path in folder.iterdir() if path.is_file() and LICENCE.match(path.name))
        found += sorted(path for path in (folder / "LICENSES").glob("*") if path.is_file())
        for path in found:
            text = path.read_text(errors="replace").replace("\r\n", "\n").strip()
            texts.setdefault(text, []).append("{} {} ({})".format(*at, expression))
        if not found:
            bare.append("{} {} ({})".format(*at, expression))
    print("Texts that the crates in fluxheim and fluxheim-init ask to go along with them. Fluxheim itself: Apache-2.0.\n")
    print("Crates that bring no text of their own; the texts of these licences are below:")
    print("".join(f"  {name}\n" for name in bare))
    for text, names in sorted(texts.items(), key=lambda entry: entry[1]):
        print("=" * 78 + "\n" + "".join(f"{name}\n" for name in sorted(set(names))) + "-" * 78 + f"\n{text}\n")


def main() -> int:
    """The command line above."""
    match sys.argv[1:]:
        case ["licences", binaries]:
            licences(Path(binaries))
            return 0
        case ["workspace", namespace]:
            root, components = workspace()
        case ["image", namespace, binaries, oci]:
            root, components = image(Path(binaries), Path(oci))
        case _:
            print(__doc__, file=sys.stderr)
            return 64
    time = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    json.dump({"root": root, "time": time, "namespace": namespace, "components": components}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
