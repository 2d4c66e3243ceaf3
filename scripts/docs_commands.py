"""Types what the documents tell a reader to type, and compares what comes out with what they show.

Usage: docs_commands.py check HELP_FOLDER    every block is on one side of docs_commands.toml, and well as far as can be seen
       docs_commands.py play WORK_FOLDER     runs those that can be run; needs Docker, with the image loaded

docs_commands.toml has both sides: `[[play]]`, blocks that are run, and `[[excused]]`, blocks that can't be, with the reason. A block
on neither side is a mistake, and so is an entry that fits nothing. Its `[[mistake]]`s are what goes wrong first: each is made, and what is
said of it must stand in docs/troubleshooting.md.
"""

import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

from docs_blocks import LOOKS_TYPED, TYPED, Block, Command, Flaw, documents, read, spoken
from docs_output import differs
from docs_static import MISSING, Programs, judge, syntax

LIST = Path("scripts/docs_commands.toml")
# Docker takes a moment to show what has been logged. Nothing else is tried again: where something takes time, the document waits.
LATER = re.compile(r"^docker logs\b")
TRIES, PAUSE, LONGEST = 60, 0.5, 120
TROUBLES = Path("docs/troubleshooting.md")


@dataclass
class Scene:
    """Blocks that are typed one after the other, in one folder."""

    document: str
    section: str | None = None
    blocks: list[str] | None = None
    # Pairs: what the document leaves to the reader, such as NAME, and what it is here. Each must be there.
    replace: list[list[str]] = field(default_factory=list)
    # Bash, before, behind and for each command: what the document takes for granted; what must hold then; programs in PATH.
    before: str = ""
    after: str = ""
    given: str = ""

    def takes(self, block: Block) -> bool:
        if block.document != self.document:
            return False
        if self.blocks is not None:
            return block.first in self.blocks
        return self.section is None or block.section == self.section


@dataclass
class Excuse:
    """A block that is not run, and why."""

    document: str
    block: str
    reason: str


@dataclass
class Mistake:
    """Something that a user does wrong, in bash, and the words by which it is found in the document."""

    make: str
    said: str
    # Of the end; any but 0 where none is named.
    code: int | None = None
    # What is done before, once; for all of them, and for this one.
    before: str = ""
    first: str = ""


def mistakes() -> list[Mistake]:
    """Those of the list; the words of each are in the document."""
    sides = tomllib.loads(LIST.read_text())
    before = sides.get("before_mistakes", "")
    found = [Mistake(**{"before": before, **entry}) for entry in sides.get("mistake", [])]
    for mistake in found:
        if mistake.said not in TROUBLES.read_text():
            raise Flaw(f"{TROUBLES} does not tell what {mistake.said!r} means")
    return found


def listed() -> tuple[list[Scene], list[Excuse]]:
    """Both sides of the list."""
    sides = tomllib.loads(LIST.read_text())
    if unknown := set(sides) - {"play", "excused", "before_mistakes", "mistake"}:
        raise Flaw(f"{LIST}: what is {sorted(unknown)}?")
    scenes = [Scene(**entry) for entry in sides.get("play", [])]
    return scenes, [Excuse(**entry) for entry in sides.get("excused", [])]


def covered(blocks: list[Block], scenes: list[Scene], excuses: list[Excuse]) -> dict[int, list[Block]]:
    """The blocks of each scene; refuses a block on neither side or both, and entries that fit nothing."""
    wrong: list[str] = []
    taken: dict[int, list[Block]] = {at: [] for at in range(len(scenes))}
    used: set[int] = set()
    for block in blocks:
        if block.is_program:
            continue
        if block.language not in (*TYPED, "indented"):
            if LOOKS_TYPED.match(block.body) and not block.before.endswith("prints:"):
                wrong.append(f"{block.place}: commands in a block that doesn't say so: fence it as sh")
            continue
        excused = [at for at, excuse in enumerate(excuses) if (excuse.document, excuse.block) == (block.document, block.first)]
        by_name = block.language == "indented"
        played = [at for at, scene in enumerate(scenes) if scene.takes(block) and not ((excused or by_name) and scene.blocks is None)]
        used.update(excused)
        for at in played:
            taken[at].append(block)
        match len(played) + len(excused):
            case 0:
                wrong.append(f"{block.place}: is neither run nor excused{', and no fence says that it is typed' * by_name}: {block.first}")
            case 1:
                pass
            case _:
                wrong.append(f"{block.place}: is in {LIST.name} more than once: {block.first}")
    for at, excuse in enumerate(excuses):
        if at not in used:
            wrong.append(f"{LIST.name}: no block of {excuse.document} begins with {excuse.block!r}")
        if len(excuse.reason) < 10:
            wrong.append(f"{LIST.name}: no reason for {excuse.block!r}")
    for at, scene in enumerate(scenes):
        missing = set(scene.blocks or []) - {block.first for block in taken[at]}
        if missing or not taken[at]:
            wrong.append(f"{LIST.name}: {scene.document} has no {sorted(missing) or scene.section or 'block'}")
    if wrong:
        raise Flaw("\n".join(wrong))
    return taken


def check(helps: Path) -> None:
    """Everything that needs no Docker."""
    programs = Programs({path.name: path.read_text() for path in helps.iterdir() if path.name.startswith("fluxheim")})
    scenes, excuses = listed()
    blocks = [block for document in documents() for block in read(document, Path(document).read_text())]
    wrong = []
    typed = [command for block in blocks for command in block.commands]
    said = [Command(document, line, text) for document in documents() for line, text in spoken(Path(document).read_text())]
    for command in typed + said:
        try:
            judge(command.text, programs)
        except Flaw as flaw:
            wrong.append(f"{command.document}:{command.line}: {flaw}\n    {command.text}")
    for block in blocks:
        if block.is_program and (said := syntax(block.body)):
            wrong.append(f"{block.place}: {said}")
    if wrong:
        raise Flaw("\n".join(wrong))
    if unnamed := [page for page in documents() if page.startswith("docs/") and f"({page})" not in Path("README.md").read_text()]:
        raise Flaw(f"README.md leads to no {', '.join(unnamed)}")
    taken = covered(blocks, scenes, excuses)
    made = len(mistakes())
    played = sum(len(found) for found in taken.values())
    print(f"{len(documents())} documents: {played} blocks to run, {len(excuses)} excused, {made} mistakes to make; {len(typed) + len(said)} commands looked at")
    if MISSING:
        print(f"not here, so that their command lines were not read by them: {', '.join(sorted(MISSING))}")


class Stage:
    """Where a scene is played: a folder, free ports, and what containers it may leave."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.folder, self.scene = folder, scene
        self.ports: dict[str, str] = {}
        self.replaced: set[str] = set()

    def bash(self, script: str) -> tuple[int, str]:
        """Runs it as a reader's shell would; sudo is left out as root, as the documents say."""
        sudo = "" if os.geteuid() else 'sudo() { "$@"; }'
        done = subprocess.run(
            ["bash", "-c", f"{sudo}\n{self.scene.given}\n{script}"], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST, check=False, errors="replace",
        )
        return done.returncode, done.stdout

    def here(self, text: str) -> str:
        """A command, with what the document leaves open."""
        for old, new in self.scene.replace:
            if old in text:
                self.replaced.add(old)
                text = text.replace(old, new)
        return self.with_ports(text)

    def with_ports(self, text: str) -> str:
        """With ports of the host that are free."""
        for port in re.findall(r"--publish (\d+):", text):
            self.ports.setdefault(port, free_port())
        for port, free in self.ports.items():
            text = text.replace(f"--publish {port}:", f"--publish 127.0.0.1:{free}:").replace(f"localhost:{port}", f"localhost:{free}").replace(f"//127.0.0.1:{port}", f"//127.0.0.1:{free}")
        return text

    def there(self, output: str) -> str:
        """Output as a reader gets it, with the ports of the document."""
        for port, free in self.ports.items():
            output = output.replace(f":{free}", f":{port}")
        return output

    def run(self, command: Command) -> None:
        """Types it, again while it may be too early, and compares."""
        text = self.here(command.text)
        print(f"$ {text}", flush=True)
        for left in reversed(range(TRIES if LATER.match(text) else 1)):
            code, output = self.bash(text)
            wrong = f"ended with {code}, not {command.wanted}" if code != command.wanted else None
            if wrong is None and command.shown is not None:
                wrong = differs(command.shown, self.there(output).splitlines())
            if wrong is None:
                return
            if left:
                time.sleep(PAUSE)
        raise Flaw(f"{command.document}:{command.line}: {wrong}\n    {command.text}\n{output}")

    def must(self, what: str, script: str) -> None:
        """A part of the list's own."""
        if script:
            code, output = self.bash(f"set -e\n{self.with_ports(script)}")
            if code:
                raise Flaw(f"{LIST.name}: {what} of {self.scene.document} ended with {code}\n{output}")


def free_port() -> str:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def write_files(block: Block, folder: Path) -> None:
    """A configuration that the document says to write."""
    if block.language == "toml" and (named := re.search(r"Write `([^`]+)`[^`]*:$", block.before)):
        path = folder / named[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body)


def names(text: str, kind: str) -> set[str]:
    """Containers or networks that commands make."""
    pattern = r"--name (\w[\w.-]*)" if kind == "container" else r"network create (\w[\w.-]*)"
    return set(re.findall(pattern, text))


def clear(scripts: str) -> None:
    """Takes down what a scene made."""
    for kind, remove in (("container", ["rm", "--force"]), ("network", ["network", "rm"])):
        for name in names(scripts, kind):
            subprocess.run(["docker", *remove, name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def play_scene(scene: Scene, blocks: list[Block], folder: Path) -> None:
    """One scene, in an empty folder."""
    folder.mkdir()
    stage = Stage(folder, scene)
    scripts = "\n".join([scene.before, scene.after, *(stage.here(command.text) for block in blocks for command in block.commands)])
    for kind in ("container", "network"):
        listing = ["docker", "ps", "--all", "--format", "{{.Names}}"] if kind == "container" else ["docker", "network", "ls", "--format", "{{.Name}}"]
        there = set(subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split())
        if taken := there & names(scripts, kind):
            raise Flaw(f"there is a {kind} named {', '.join(sorted(taken))} already, as the documents call theirs")
    print(f"== {scene.document} {scene.section or ''}", flush=True)
    try:
        stage.must("before", scene.before)
        for block in blocks:
            write_files(block, folder)
            for command in block.commands:
                stage.run(command)
        stage.must("after", scene.after)
    finally:
        clear(scripts)
    if left := {old for old, _ in scene.replace} - stage.replaced:
        raise Flaw(f"{LIST.name}: {scene.document} has no {sorted(left)} to replace")


def make(mistake: Mistake, folder: Path) -> None:
    """Makes it, in an empty folder, until what is said of it is said."""
    folder.mkdir()
    stage = Stage(folder, Scene(str(TROUBLES)))
    print(f"== {mistake.said}", flush=True)
    try:
        stage.must("before", f"{mistake.before}\n{mistake.first}")
        for left in reversed(range(TRIES if LATER.match(mistake.make) else 1)):
            code, output = stage.bash(stage.with_ports(mistake.make))
            if mistake.said in output and (code == mistake.code if mistake.code is not None else code):
                return
            if left:
                time.sleep(PAUSE)
        raise Flaw(f"{LIST.name}: ended with {code}, and {mistake.said!r} was to be said:\n{mistake.make}\n{output}")
    finally:
        clear(mistake.first + mistake.make)


def play(work: Path) -> None:
    """Every scene; all that fail are told."""
    scenes, excuses = listed()
    everything = {document: read(document, Path(document).read_text()) for document in documents()}
    taken = covered([block for found in everything.values() for block in found], scenes, excuses)
    wrong = []
    for at, scene in enumerate(scenes):
        own = {id(block) for block in taken[at]}
        blocks = [block for block in everything[scene.document] if id(block) in own or (scene.takes(block) and block.language == "toml")]
        try:
            play_scene(scene, blocks, work / str(at))
        except Flaw as flaw:
            wrong.append(str(flaw))
        except subprocess.TimeoutExpired as late:
            wrong.append(f"{scene.document}: not over after {LONGEST}s: {late.cmd[-1]}")
    for at, mistake in enumerate(mistakes()):
        try:
            make(mistake, work / f"mistake-{at}")
        except Flaw as flaw:
            wrong.append(str(flaw))
    if wrong:
        raise Flaw("\n".join(wrong))


def main() -> int:
    """The command line above."""
    try:
        match sys.argv[1:]:
            case ["check", helps]:
                check(Path(helps))
            case ["play", work]:
                play(Path(work))
            case _:
                print(__doc__, file=sys.stderr)
                return 64
    except Flaw as flaw:
        print(f"docs-commands: {flaw}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
