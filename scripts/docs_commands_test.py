"""What scripts/docs_commands.py is for: each of these mistakes of a document is found, and nothing is found where all is well.

Usage: python3 scripts/docs_commands_test.py
"""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from docs_blocks import read
from docs_output import differs

PROGRAM = Path(__file__).resolve().with_name("docs_commands.py")
HELPS = {
    "fluxheim": "  --config PATH  a file\n  --check-config  only that\n",
    "fluxheim ctl": "  --format FORMAT\n\nOrders:\n  status      tells\n  upstreams drain NAME SERVER    ends\n",
    "fluxheim-init": "  --posture  shows\n  --config FILE\n",
}
PLAYED = "```sh\nfluxheim --config a.toml --check-config\n```\n"
LINKS = "\n[](docs/admin-api.md) [](docs/operations.md) [](docs/troubleshooting.md)\n"
LISTED = '[[play]]\ndocument = "README.md"\n'


class Checked(unittest.TestCase):
    """A small project in which one thing at a time is wrong."""

    def found(self, page: str = PLAYED, sides: str = LISTED, links: str = LINKS) -> str:
        """What is said of it; empty when all is well."""
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder)
            for name, text in HELPS.items():
                (top / name).write_text(text)
            for name in ("docs", "scripts", "image", ".cargo"):
                (top / name).mkdir()
            (top / ".cargo/config.toml").write_text('lint = "clippy"\n')
            (top / "Cargo.toml").write_text('name = "fluxheim"\n')
            (top / "README.md").write_text(page + links)
            (top / "docs/troubleshooting.md").write_text("`known words`\n")
            (top / "SECURITY.md").write_text("None.\n")
            (top / "scripts/good").write_text("--option\n")
            (top / "docs/admin-api.md").write_text("## `GET /v1/status`\n")
            (top / "docs/operations.md").write_text("| `/livez` | 200 |\n")
            (top / "scripts/docs_commands.toml").write_text(sides)
            done = subprocess.run([sys.executable, PROGRAM, "check", top], cwd=top, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1 if done.stderr else 0, done.stderr)
            return done.stderr

    def excused(self, block: str, first: str) -> str:
        """A block that is excused, beside the one that is played."""
        entry = f"[[excused]]\ndocument = 'README.md'\nblock = '''{first}'''\nreason = 'needs a cluster'\n"
        return self.found(PLAYED + "\n" + block, LISTED + entry)

    def typed(self, line: str) -> str:
        return self.excused(f"```sh\n{line}\n```\n", line)

    def test_nothing_is_found_where_all_is_well(self) -> None:
        self.assertEqual(self.found(), "")
        for line in (
            "docker exec NAME /fluxheim ctl upstreams drain a b", "sudo scripts/good --option", "cargo lint", "cargo build -p fluxheim",
            "docker run --rm --entrypoint /fluxheim fluxheim/fluxheim --check-config", "docker run --rm fluxheim/fluxheim --posture",
            "curl --unix-socket s http://localhost/v1/status && curl http://localhost:9090/livez",
        ):
            self.assertEqual(self.typed(line), "", line)

    def test_a_block_on_neither_side(self) -> None:
        self.assertIn("neither run nor excused", self.found(sides='[[play]]\ndocument = "README.md"\nsection = "Other"\n'))

    def test_a_block_that_does_not_say_that_it_is_typed(self) -> None:
        for language in ("text", ""):
            self.assertIn("fence it as sh", self.found(PLAYED + f"\n```{language}\ndocker ps\n```\n"))
        self.assertIn("no fence", self.found(PLAYED + "\n    docker ps --all\n"))

    def test_a_block_on_both_sides(self) -> None:
        first = "fluxheim --config a.toml --check-config"
        sides = f'[[play]]\ndocument = "README.md"\nblocks = ["{first}"]\n[[excused]]\ndocument = "README.md"\nblock = "{first}"\nreason = "no reason at all"\n'
        self.assertIn("more than once", self.found(sides=sides))

    def test_entries_that_fit_nothing(self) -> None:
        self.assertIn("no block of README.md", self.excused("", "docker ps"))
        self.assertIn("README.md has no", self.found(sides=LISTED + '[[play]]\ndocument = "README.md"\nblocks = ["docker ps"]\n'))
        self.assertIn("docs/x.md has no", self.found(sides=LISTED + '[[play]]\ndocument = "docs/x.md"\n'))

    def test_what_a_program_does_not_have(self) -> None:
        for line, said in (
            ("fluxheim --chek-config", "no option --chek-config"),
            ("docker run --rm fluxheim/fluxheim --check-config", "fluxheim-init has no option"),
            ("docker run --entrypoint /fluxheim fluxheim/fluxheim --posture", "fluxheim has no option"),
            ("docker exec NAME /fluxheim ctl upstreams list", "no order upstreams list"),
            ("fluxheim ctl --json status", "no option --json"),
            ("scripts/bad", "there is no scripts/bad"),
            ("scripts/good --other", "no option --other"),
            ("cargo frobnicate", "no frobnicate"),
            ("cargo build -p other", "no package other"),
            ("curl http://localhost:9090/health", "does not list /health"),
            ("curl --unix-socket s http://localhost/v1/nothing", "does not list /v1/nothing"),
            ("cp image/other .", "there is no image/other"),
            ("echo 'open", "no shell takes it"),
        ):
            self.assertIn(said, self.typed(line), line)

    def test_what_is_said_in_a_sentence(self) -> None:
        self.assertIn("no option --wrong", self.found(PLAYED + "\nTry `fluxheim --wrong` once.\n"))
        self.assertIn("there is no scripts/gone", self.found(PLAYED + "\nTry `scripts/gone`.\n"))

    def test_a_page_that_nothing_leads_to(self) -> None:
        self.assertIn("leads to no docs/operations.md, docs/troubleshooting.md", self.found(links="\n[](docs/admin-api.md)\n"))

    def test_a_mistake_that_the_document_does_not_tell_of(self) -> None:
        mistake = LISTED + '[[mistake]]\nsaid = "{}"\nmake = "false"\n'
        self.assertEqual(self.found(sides=mistake.format("known words")), "")
        self.assertIn("does not tell what 'other words' means", self.found(sides=mistake.format("other words")))

    def test_a_program_that_no_shell_reads(self) -> None:
        program = PLAYED + "\n```sh\n#!/bin/sh\n{}\n```\n"
        self.assertEqual(self.found(program.format('case $1 in\n    a) echo "$2" ;;\nesac')), "")
        self.assertIn("README.md:5: ", self.found(program.format("case $1 in")))

    def test_a_prompt_that_would_be_copied(self) -> None:
        self.assertIn("a prompt in an sh block", self.found("```sh\n$ docker ps\n```\n"))


class Read(unittest.TestCase):
    """What is typed, with what code, and what is shown."""

    def test_commands_codes_and_output(self) -> None:
        page = "## A\n\n```sh\n# why\nfirst \\\n    --on\nsecond   # so\necho $?     # 78\n```\n\n`first` prints:\n\n```text\nx\n...\n```\n"
        blocks = read("README.md", page)
        first, second = blocks[0].commands
        self.assertEqual((first.text, first.line, first.wanted, first.shown), ("first --on", 5, 0, ["x", "..."]))
        self.assertEqual((second.text, second.wanted, second.shown), ("second   # so", 78, None))
        self.assertEqual((blocks[0].section, blocks[1].language), ("A", "text"))

    def test_console(self) -> None:
        command = read("README.md", "```console\n$ one\nout\nmore\n$ echo $?  # 3\n```\n")[0].commands[0]
        self.assertEqual((command.text, command.wanted, command.shown), ("one", 3, ["out", "more"]))


class Output(unittest.TestCase):
    """When output is as shown."""

    def test_the_rule(self) -> None:
        for shown, said in (
            (["a", "b"], ["a", "b"]), (["a", "...", "d"], ["a", "b", "c", "d"]), (["a", "...", "b"], ["a", "b"]), (["..."], []),
            (["{...,x,...}"], ["{1,x,2}"]), (["ok   a"], ["ok a "]), (["on ext4 at /"], ["on overlay at /"]),
            (["pid /proc/9/status"], ["pid /proc/123/status"]), (["at 2026-11-26T07:33:46.296266Z"], ["at 2030-01-01T00:00:00Z"]),
        ):
            self.assertIsNone(differs(shown, said), (shown, said))
        for shown, said in (
            (["a"], ["a", "b"]), (["b"], ["a", "b"]), (["a", "b"], ["a"]), (["a", "c"], ["a", "b", "c"]), (["a", "..."], ["b"]),
            (["mode 0600"], ["mode 0644"]), (["1 refused"], ["2 refused"]), (["{...,x}"], ["{1,x,2}"]),
        ):
            self.assertIsNotNone(differs(shown, said), (shown, said))


if __name__ == "__main__":
    unittest.main()
