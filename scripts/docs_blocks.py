"""What the documents show: fenced blocks, the commands in them, and the output that is shown for a command.

Owns the reading of Markdown, as far as ours goes. A command is what a reader types: a line of an `sh` block, with its continuations,
or a line after `$ ` in a `console` block. An `sh` block that begins with `#!` is a program instead. Output is what follows such a line in a `console` block, or a `text` block whose
paragraph ends with "prints:" and may name the command before.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

TYPED = ("sh", "console")
# What begins a line that a reader would type, for blocks that don't say that they are.
PROGRAMS = (
    "fluxheim", "fluxheim-init", "docker", "podman", "kubectl", "helm", "cosign", "git", "cargo", "curl", "openssl", "sudo", "install",
    "chown", "chmod", "mkdir", "sh", "systemctl", "scripts/[\\w.-]+", "keymgr", "tsig-keygen",
)
LOOKS_TYPED = re.compile(rf"^(\$ )?({'|'.join(PROGRAMS)}) +\S")


class Flaw(Exception):
    """Something that must be mended, in words."""


@dataclass
class Command:
    """What is typed, where, with which exit code, and what the document shows of its output."""

    document: str
    line: int
    text: str
    wanted: int = 0
    shown: list[str] | None = None


@dataclass
class Block:
    """One fenced block, or an inline `Clean up: ...`."""

    document: str
    line: int
    section: str
    language: str
    before: str
    body: str
    commands: list[Command] = field(default_factory=list)

    @property
    def first(self) -> str:
        """What it is called by: the first line that is typed."""
        return self.commands[0].text if self.commands else self.body.split("\n", 1)[0]

    @property
    def is_program(self) -> bool:
        """Whether it is written to a file, not typed."""
        return self.body.startswith("#!")

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """Every file that tells a reader what to type."""
    found = [Path("README.md"), Path("SECURITY.md"), *Path("docs").rglob("*.md"), *Path("image").rglob("README*")]
    return sorted(str(path) for path in found)


def read(document: str, text: str) -> list[Block]:
    """Its blocks, with their commands, and the output shown for them."""
    blocks: list[Block] = []
    section, paragraph, open_block = "", "", None
    for number, line in enumerate(text.splitlines(), 1):
        if open_block is not None:
            if line.strip() == "```":
                open_block.body = "".join(open_block_lines)
                blocks.append(open_block)
                open_block, paragraph = None, ""
            else:
                open_block_lines.append(line[indent:] + "\n")
        elif fence := re.match(r"( *)```([^\n]*)", line):
            indent, open_block_lines = len(fence[1]), []
            language = fence[2].split(" ")[0]
            open_block = Block(document, number, section, language, paragraph.strip(), "")
        elif heading := re.match(r"##? (.*)", line):
            section, paragraph = heading[1], ""
        elif line.strip():
            paragraph = paragraph + " " + line.strip() if paragraph and not paragraph.endswith("\n") else line.strip()
            if clean := re.match(r"Clean up: `([^`]+)`", line):
                blocks.append(Block(document, number, section, "sh", "", clean[1] + "\n"))
            if re.match(r" {4}", line) and LOOKS_TYPED.match(line.strip()):
                blocks.append(Block(document, number, section, "indented", "", line.strip() + "\n"))
        elif paragraph:
            # The paragraph before a fence is that before an empty line, too.
            paragraph += "\n"
    if open_block is not None:
        raise Flaw(f"{open_block.place}: a fence that is not closed")
    for block in blocks:
        block.commands = commands(block)
    attach(blocks)
    return blocks


def commands(block: Block) -> list[Command]:
    """What is typed in a block."""
    if block.language == "indented":
        return [Command(block.document, block.line, block.body.strip())]
    if block.language not in TYPED or block.is_program:
        return []
    found: list[Command] = []
    joined, began = "", 0
    for number, line in enumerate(block.body.splitlines(), block.line + 1):
        if block.language == "console" and not joined:
            if not line.startswith("$ "):
                if not found:
                    raise Flaw(f"{block.document}:{number}: output before any command")
                found[-1].shown = [*(found[-1].shown or []), line]
                continue
            line = line[2:]
        elif line.startswith("$ "):
            raise Flaw(f"{block.document}:{number}: a prompt in an sh block, which is copied as it is: take it out, or call it console")
        began = began or number
        if line.endswith("\\"):
            joined += line[:-1].strip() + " "
            continue
        whole, joined = joined + line.strip(), ""
        if code := re.match(r"echo \$\?\s+# (\d+)", whole):
            # In the one shell of a reader it is the code of the command before.
            found[-1].wanted = int(code[1])
        elif whole and not whole.startswith("#"):
            found.append(Command(block.document, began, whole))
        began = 0
    return found


def attach(blocks: list[Block]) -> None:
    """Gives output that is shown in a block of its own to its command."""
    typed: list[Command] = []
    for block in blocks:
        typed += block.commands
        if block.language != "text" or not block.before.endswith("prints:"):
            continue
        named = re.search(r"`([^`]+)`[^`;.]*prints:$", block.before)
        fits = [one for one in typed if not named or uncommented(one.text).startswith(named[1])]
        if not fits:
            raise Flaw(f"{block.place}: output of a command that is not typed before it")
        if fits[-1].shown is not None:
            raise Flaw(f"{block.place}: a second output of {fits[-1].text}")
        fits[-1].shown = block.body.splitlines()


def uncommented(text: str) -> str:
    """Without the comment behind it, spaces made one."""
    return re.sub(r"\s+", " ", re.sub(r"\s#\s.*$", "", text)).strip()


def words(text: str) -> list[str]:
    """A command's words; what no shell would take is a flaw of the document."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();|&<>")
    lexer.whitespace_split = True
    return list(lexer)


def spoken(text: str) -> list[tuple[int, str]]:
    """Commands that stand in a sentence, between backticks, outside blocks."""
    outside = re.sub(r"^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)
    found = []
    for inline in re.finditer(r"`((?:[^`\n]|\n(?!\n))+)`", outside):
        said = re.sub(r"\s+", " ", inline[1]).replace("\\|", "|")
        if LOOKS_TYPED.match(said) or re.fullmatch(r"scripts/[\w.-]+", said):
            found.append((outside.count("\n", 0, inline.start()) + 1, said))
    return found
