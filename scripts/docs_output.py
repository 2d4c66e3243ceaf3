"""Whether output is as a document shows it.

The rule: a line `...` stands for any number of lines, and `...` within a line for anything. Where none stands, lines follow each other,
and output begins and ends as shown. Any spaces are one space. What differs from run to run or from machine to machine is replaced by
a word on both sides, by the list below and nothing else.
"""

import re

# In this order.
NORMAL = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "DATE"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
    (r"\b[0-9a-f]{12,}\b", "ID"),
    (r"/proc/\d+/", "/proc/N/"),
    (r"kernel \d[\w.+~-]*", "kernel VERSION"),
    (r"fluxheim(-init)? \d+\.\d+\.\d+\b", r"fluxheim\1 VERSION"),
    (r"\b(?!127\.|0\.0\.0\.0)\d+\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"\bon (ext4|xfs|btrfs|overlay|tmpfs|zfs) at ", "on FILESYSTEM at "),
    (r"\b\d+(\.\d+)?(ns|µs|ms|s)\b", "DURATION"),
    (r"\b\d+\.\d+\b", "NUMBER"),
    (r"\s+", " "),
]


def normal(line: str) -> str:
    """A line without what differs."""
    for pattern, word in NORMAL:
        line = re.sub(pattern, word, line)
    return line.strip()


def fits(shown: str, said: str) -> bool:
    """Whether one line is as shown."""
    parts = [re.escape(normal(part)) for part in shown.split("...")]
    return re.fullmatch(r" ?.*? ?".join(parts), normal(said)) is not None


def differs(shown: list[str], said: list[str]) -> str | None:
    """What is not as shown, or None. Tries what `...` may stand for, shortest first."""
    furthest = 0

    def follows(at: int, line: int) -> bool:
        nonlocal furthest
        furthest = max(furthest, at)
        if at == len(shown):
            return line == len(said)
        if shown[at].strip() == "...":
            return any(follows(at + 1, rest) for rest in range(line, len(said) + 1))
        return line < len(said) and fits(shown[at], said[line]) and follows(at + 1, line + 1)

    if follows(0, 0):
        return None
    return f"nothing fits: {shown[furthest]}" if furthest < len(shown) else "there is more output than is shown"
