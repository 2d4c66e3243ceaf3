"""What scripts/metadata.py is for: each of these mistakes is found, and nothing is found where all is well.

Usage: python3 scripts/metadata_test.py
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = Path(__file__).resolve().with_name("metadata.py")
REASON = "old 1.0.0; unmaintained; not reached; remove when it is gone; review by 2030-01-01"


class Metadata(unittest.TestCase):
    """A small project in which one thing at a time is wrong."""

    def found(self, *arguments: str, reason: str = REASON, audit: str = '"RUSTSEC-2020-0001", # review by 2030-01-01',
              reported: tuple = (("RUSTSEC-2020-0001",), ("RUSTSEC-2020-0001",)), lock: str = "1.0.0",
              changes: str = "## [Unreleased]\n\n- x\n", notes: str | None = None) -> str:
        """What is said of it; empty when all is well."""
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder)
            (top / ".cargo").mkdir()
            (top / "Cargo.toml").write_text('[workspace.package]\nversion = "0.2.0"\n')
            (top / "Cargo.lock").write_text(
                f'[[package]]\nname = "old"\nversion = "{lock}"\nsource = "r"\n[[package]]\nname = "fluxheim"\nversion = "0.2.0"\n'
            )
            ignore = f'{{ id = "RUSTSEC-2020-0001", reason = "{reason}" }}' if reason else ""
            (top / "deny.toml").write_text(f"[advisories]\nignore = [{ignore}]\n")
            (top / ".cargo/audit.toml").write_text(f"[advisories]\nignore = [\n{audit}\n]\n")
            (top / "CHANGELOG.md").write_text(changes)
            (top / "reported").write_text(json.dumps({"cargo-deny": reported[0], "cargo-audit": reported[1]}))
            if notes is not None:
                (top / "notes").write_text(notes)
                arguments += ("--notes", "notes")
            done = subprocess.run(
                [sys.executable, PROGRAM, "check", "--reported", "reported", "--today", "2029-12-31", *arguments],
                cwd=top, stderr=subprocess.PIPE, text=True, check=False,
            )
            self.assertEqual(done.returncode, 1 if done.stderr else 0, done.stderr)
            return done.stderr

    def test_nothing_is_found_where_all_is_well(self) -> None:
        self.assertEqual(self.found(), "")
        self.assertEqual(self.found("--tag", "v0.2.0", changes="## [0.2.0] - 2029-01-01\n\n- x\n", notes="# Fluxheim 0.2.0\n"), "")

    def test_a_review_that_is_overdue(self) -> None:
        self.assertIn("was to be reviewed by 2030-01-01", self.found("--today", "2030-01-02"))

    def test_a_crate_or_version_that_is_gone(self) -> None:
        self.assertIn("old 1.0.0 is no longer in Cargo.lock", self.found(lock="1.0.1"))

    def test_a_reason_that_lacks_a_part(self) -> None:
        self.assertIn("has 2 parts, not 5", self.found(reason="old 1.0.0; unmaintained"))
        self.assertIn('must begin with "remove when', self.found(reason=REASON.replace("remove when", "when")))

    def test_an_exception_that_a_tool_lacks(self) -> None:
        self.assertIn("cargo-audit reports RUSTSEC-2020-0001", self.found(audit=""))
        self.assertIn("cargo-deny reports RUSTSEC-2020-0001", self.found(reason=""))

    def test_an_exception_that_no_tool_reports_any_more(self) -> None:
        self.assertIn("cargo-deny does not report it", self.found(reported=((), ("RUSTSEC-2020-0001",))))

    def test_dates_that_differ(self) -> None:
        self.assertIn("must carry the date", self.found(audit='"RUSTSEC-2020-0001", # review by 2031-01-01'))

    def test_versions_that_differ(self) -> None:
        self.assertIn("the tag is v0.3.0", self.found("--tag", "v0.3.0", changes="## [0.2.0] - 2029-01-01\n\n- x\n"))
        self.assertIn("no section for 0.2.0", self.found("--tag", "v0.2.0"))
        self.assertIn("its newest version is 0.1.0", self.found(changes="## [0.1.0] - 2029-01-01\n\n- x\n"))
        self.assertIn("begins with", self.found(notes="# Fluxheim 0.1.0\n"))


if __name__ == "__main__":
    unittest.main()
