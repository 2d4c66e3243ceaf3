"""Writes SBOMs of a list of components: CycloneDX 1.7 and SPDX 3.0.1, both JSON, both validated before they are written.

Usage: sbom.py NAME OUT <facts.json     writes OUT/NAME.cdx.json and OUT/NAME.spdx.json
       sbom.py --validate FILE...       checks finished files against their specification

facts.json: {"root": ID, "time": SECONDS, "namespace": URL, "components": [{"id", "name", "version", "type", "purl",
"license", "sha256", "scope", "features", "note", "depends_on": [ID]}]}; everything but id, name and type may be missing.
The same facts give the same bytes. Called by scripts/generate-sbom.sh, with the Python packages of scripts/requirements.txt.
"""

import json
import sys
import uuid
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_python_model import v3_0_1 as spdx

CYCLONEDX = SchemaVersion.V1_7
TYPES = {
    "application": (ComponentType.APPLICATION, spdx.software_SoftwarePurpose.application),
    "container": (ComponentType.CONTAINER, spdx.software_SoftwarePurpose.container),
    "library": (ComponentType.LIBRARY, spdx.software_SoftwarePurpose.library),
    "data": (ComponentType.DATA, spdx.software_SoftwarePurpose.data),
    "file": (ComponentType.FILE, spdx.software_SoftwarePurpose.file),
}


def cyclonedx(facts: dict, time: datetime) -> str:
    """The facts as one CycloneDX document."""
    made = {fact["id"]: component(fact) for fact in facts["components"]}
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(facts, sort_keys=True)))
    bom.metadata.timestamp = time
    bom.metadata.lifecycles = [PredefinedLifecycle(LifecyclePhase.BUILD)]
    bom.metadata.component = made[facts["root"]]
    bom.components = [made[fact["id"]] for fact in facts["components"] if fact["id"] != facts["root"]]
    for fact in facts["components"]:
        bom.register_dependency(made[fact["id"]], [made[other] for other in fact.get("depends_on", [])])
    return make_outputter(bom, OutputFormat.JSON, CYCLONEDX).output_as_string(indent=1) + "\n"


def component(fact: dict) -> Component:
    """One component of CycloneDX."""
    return Component(
        type=TYPES[fact["type"]][0],
        bom_ref=fact["id"],
        name=fact["name"],
        version=fact.get("version"),
        purl=PackageURL.from_string(fact["purl"]) if "purl" in fact else None,
        licenses=[LicenseExpression(fact["license"])] if "license" in fact else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=fact["sha256"])] if "sha256" in fact else [],
        scope=ComponentScope.EXCLUDED if fact.get("scope") == "tests" else ComponentScope.REQUIRED,
        properties=[Property(name=f"fluxheim:{key}", value=fact[key]) for key in ("scope", "features", "note") if key in fact],
    )


def spdx3(facts: dict, time: datetime) -> str:
    """The facts as one SPDX document."""
    base = facts["namespace"].rstrip("/") + "/"
    creator = spdx.Organization(spdxId=base + "creator", name="Fluxheim")
    info = spdx.CreationInfo(
        specVersion="3.0.1", created=time, createdBy=[creator], comment="written by scripts/generate-sbom.sh"
    )
    creator.creationInfo = info
    packages, licences, relations = {}, {}, []
    for fact in facts["components"]:
        packages[fact["id"]] = package(fact, base, info)
    for fact in facts["components"]:
        of = packages[fact["id"]]
        if others := [packages[other] for other in fact.get("depends_on", [])]:
            relations.append(relation(base, info, len(relations), of, spdx.RelationshipType.dependsOn, others))
        if text := fact.get("license"):
            licence = licences.setdefault(text, spdx.simplelicensing_LicenseExpression(
                spdxId=f"{base}licence/{len(licences)}", creationInfo=info, simplelicensing_licenseExpression=text
            ))
            relations.append(
                relation(base, info, len(relations), of, spdx.RelationshipType.hasDeclaredLicense, [licence])
            )
    elements = [creator, *packages.values(), *licences.values(), *relations]
    sbom = spdx.software_Sbom(
        spdxId=base + "sbom", creationInfo=info, rootElement=[packages[facts["root"]]], element=elements,
        software_sbomType=[spdx.software_SbomType.build],
    )
    document = spdx.SpdxDocument(
        spdxId=base + "document", creationInfo=info, rootElement=[sbom], element=[sbom, *elements],
        profileConformance=[
            spdx.ProfileIdentifierType.core,
            spdx.ProfileIdentifierType.software,
            spdx.ProfileIdentifierType.simpleLicensing,
        ],
    )
    objects = spdx.SHACLObjectSet()
    for element in (document, sbom, *elements):
        objects.add(element)
    parsed = json.loads(serialised(objects))
    # In the order of their names: the library writes them as it finds them.
    parsed["@graph"].sort(key=lambda entry: (entry["type"], entry.get("spdxId", entry.get("@id", ""))))
    return json.dumps(parsed, indent=1) + "\n"


def serialised(objects) -> bytes:
    """What the library writes."""
    out = BytesIO()
    spdx.JSONLDSerializer().write(objects, out)
    return out.getvalue()


def package(fact: dict, base: str, info):
    """One package of SPDX."""
    made = spdx.software_Package(
        spdxId=base + "component/" + fact["id"], creationInfo=info, name=fact["name"],
        software_primaryPurpose=TYPES[fact["type"]][1],
    )
    if "version" in fact:
        made.software_packageVersion = fact["version"]
    if "purl" in fact:
        made.software_packageUrl = fact["purl"]
    if "note" in fact:
        made.comment = fact["note"]
    told = [f"{key}: {fact[key]}" for key in ("scope", "features") if key in fact]
    if told:
        made.software_sourceInfo = "; ".join(told)
    if "sha256" in fact:
        made.verifiedUsing = [spdx.Hash(algorithm=spdx.HashAlgorithm.sha256, hashValue=fact["sha256"])]
    return made


def relation(base: str, info, number: int, of, kind, to: list):
    """What an element has to do with others."""
    return spdx.Relationship(
        spdxId=f"{base}relationship/{number}", creationInfo=info, from_=of, to=to, relationshipType=kind
    )


def flaw(path: Path) -> str | None:
    """What is wrong with a finished file, if anything."""
    text = path.read_text()
    if path.name.endswith(".cdx.json"):
        version = json.loads(text).get("specVersion")
        if version != CYCLONEDX.to_version():
            return f"CycloneDX {version}, not {CYCLONEDX.to_version()}"
        error = JsonStrictValidator(CYCLONEDX).validate_str(text)
        return None if error is None else str(error)
    if path.name.endswith(".spdx.json"):
        objects = spdx.SHACLObjectSet()
        try:
            with path.open("rb") as file:
                spdx.JSONLDDeserializer().read(file, objects)
        except Exception as error:  # whatever the reader finds is a flaw of the file
            return f"{type(error).__name__}: {error}"
        missing = objects.link()
        documents = [found for found in objects.foreach_type(spdx.SpdxDocument)]
        if missing:
            return f"names elements that it does not have: {sorted(map(str, missing))[:3]}"
        return None if len(documents) == 1 else f"{len(documents)} SpdxDocuments"
    return "neither .cdx.json nor .spdx.json"


def validated(paths: list[Path]) -> int:
    """How many of the files have a flaw, each said on stderr."""
    flaws = [(path, found) for path in paths if (found := flaw(path))]
    for path, found in flaws:
        print(f"{path}: {found}", file=sys.stderr)
    return len(flaws)


def main() -> int:
    """The command line above; 0, or 1 for a flaw, or 64."""
    match sys.argv[1:]:
        case ["--validate", *paths] if paths:
            return min(validated([Path(path) for path in paths]), 1)
        case [name, out] if not name.startswith("-"):
            facts = json.load(sys.stdin)
            time = datetime.fromtimestamp(facts["time"], timezone.utc)
            written = []
            for kind, text in (("cdx", cyclonedx(facts, time)), ("spdx", spdx3(facts, time))):
                path = Path(out) / f"{name}.{kind}.json"
                path.write_text(text)
                written.append(path)
            return min(validated(written), 1)
        case _:
            print(__doc__, file=sys.stderr)
            return 64


if __name__ == "__main__":
    sys.exit(main())
