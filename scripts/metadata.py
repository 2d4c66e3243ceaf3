"""What must be true of a release before anybody is asked: versions that agree, exceptions that still hold.

Usage: metadata.py check [--tag TAG] [--notes FILE] --reported FILE [--today YYYY-MM-DD]
       metadata.py exceptions      prints the reviewed exceptions as a table in Markdown
       metadata.py changes         prints what CHANGELOG.md says of the version in Cargo.toml

--reported: JSON of what each tool reports without any exception, {"cargo-deny": [ID], "cargo-audit": [ID]}.
Every flaw is printed on stderr, one a line; 1 if there is any. Standard library only.
"""

import argparse
import datetime
import json
import re
import sys
import tomllib
from pathlib import Path

PARTS = ("crate and version", "what it is about", "how far it can be reached", "what removes it", "review date")


def toml(path: str) -> dict:
    """A file of that form."""
    return tomllib.loads(Path(path).read_text())


def exceptions() -> list[dict]:
    """The exceptions of deny.toml, taken apart; a reason that can't be has fewer parts."""
    found = []
    for entry in toml("deny.toml")["advisories"].get("ignore", []):
        entry = {"id": entry} if isinstance(entry, str) else entry
        found.append({"id": entry["id"], "parts": [part.strip() for part in entry.get("reason", "").split(";")]})
    return found


def of_exception(entry: dict, locked: set, today: datetime.date) -> list[str]:
    """What is wrong with one exception."""
    name, parts = entry["id"], entry["parts"]
    if len(parts) != len(PARTS):
        return [f"deny.toml: {name}: the reason has {len(parts)} parts, not {len(PARTS)}: {', '.join(PARTS)}"]
    flaws = []
    if tuple(parts[0].split(" ")) not in locked:
        flaws.append(f"deny.toml: {name}: {parts[0]} is no longer in Cargo.lock: remove the exception, or review the new version")
    if not parts[3].startswith("remove when "):
        flaws.append(f'deny.toml: {name}: part 4 must begin with "remove when "')
    date = re.fullmatch(r"review by (\d{4}-\d{2}-\d{2})", parts[4])
    if not date:
        flaws.append(f"deny.toml: {name}: the last part must be: review by YYYY-MM-DD")
    elif datetime.date.fromisoformat(date[1]) < today:
        flaws.append(f"deny.toml: {name}: was to be reviewed by {date[1]}: look at it again, then set a new date")
    return flaws


def of_tools(reported: dict) -> list[str]:
    """Where the lists of exceptions are not what the tools report."""
    audit = Path(".cargo/audit.toml").read_text()
    listed = {
        "cargo-deny": ("deny.toml", {entry["id"] for entry in exceptions()}),
        "cargo-audit": (".cargo/audit.toml", set(tomllib.loads(audit)["advisories"].get("ignore", []))),
    }
    dates = {entry["id"]: entry["parts"][-1] for entry in exceptions()}
    flaws = []
    for tool, (path, have) in listed.items():
        want = set(reported[tool])
        flaws += [f"{path}: {tool} reports {name}, and there is no exception for it" for name in sorted(want - have)]
        flaws += [f"{path}: {name}: {tool} does not report it: remove the exception" for name in sorted(have - want)]
    for line in audit.splitlines():
        if name := re.match(r'\s*"(RUSTSEC-[0-9-]+)"', line):
            if dates.get(name[1], "review by ?") not in line:
                flaws.append(f".cargo/audit.toml: {name[1]}: its line must carry the date of deny.toml ({dates.get(name[1])})")
    return flaws


def version() -> str:
    """The version of the workspace."""
    return toml("Cargo.toml")["workspace"]["package"]["version"]


def section(title: str) -> str | None:
    """What stands below a heading of CHANGELOG.md."""
    text = Path("CHANGELOG.md").read_text()
    found = re.search(rf"^## \[?{re.escape(title)}\]?( - \d{{4}}-\d{{2}}-\d{{2}})?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[2].strip() if found else None


def of_versions(tag: str | None, notes: str | None) -> list[str]:
    """Where versions differ. Between releases CHANGELOG.md has no section of the coming version; with a tag it must."""
    ours, flaws = version(), []
    for package in toml("Cargo.lock")["package"]:
        if package["name"].startswith("fluxheim") and "source" not in package and package["version"] != ours:
            flaws.append(f"Cargo.lock: {package['name']} {package['version']}, and Cargo.toml says {ours}")
    released = re.findall(r"^## \[?(\d[^\] ]*)", Path("CHANGELOG.md").read_text(), re.M)
    if released and released[0] != ours and section("Unreleased") is None:
        flaws.append(f"CHANGELOG.md: its newest version is {released[0]}, and Cargo.toml says {ours}")
    if tag is not None:
        if tag != f"v{ours}":
            flaws.append(f"the tag is {tag}, and Cargo.toml says {ours}")
        if not section(ours):
            flaws.append(f"CHANGELOG.md: no section for {ours}: rename [Unreleased] to [{ours}] - DATE")
    if notes is not None:
        first = Path(notes).read_text().splitlines()[0]
        if first != f"# Fluxheim {ours}":
            flaws.append(f"{notes}: begins with {first!r}, not with '# Fluxheim {ours}'")
    return flaws


def check(arguments: argparse.Namespace) -> int:
    """All of it."""
    today = datetime.date.fromisoformat(arguments.today) if arguments.today else datetime.date.today()
    locked = {(package["name"], package["version"]) for package in toml("Cargo.lock")["package"]}
    flaws = [flaw for entry in exceptions() for flaw in of_exception(entry, locked, today)]
    flaws += of_tools(json.loads(Path(arguments.reported).read_text()))
    flaws += of_versions(arguments.tag, arguments.notes)
    for flaw in flaws:
        print(flaw, file=sys.stderr)
    return 1 if flaws else 0


def table() -> int:
    """The exceptions, for the release notes."""
    print("| Advisory | " + " | ".join(part[0].upper() + part[1:] for part in PARTS) + " |")
    print("|---" * (len(PARTS) + 1) + "|")
    for entry in exceptions():
        print(f"| {entry['id']} | " + " | ".join(entry["parts"]) + " |")
    return 0


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check")
    for flag in ("--tag", "--notes", "--today"):
        checking.add_argument(flag)
    checking.add_argument("--reported", required=True)
    commands.add_parser("exceptions")
    commands.add_parser("changes")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check(arguments)
    if arguments.command == "exceptions":
        return table()
    print(section(version()) or section("Unreleased") or "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
