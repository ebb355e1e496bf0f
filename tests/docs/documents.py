"""Reads the documentation as its reader does: headings, fenced blocks, tables, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Block:
    heading: str
    info: str
    text: str
    line: int
    """Where its text begins in the document, from 1."""

    def __str__(self) -> str:
        return f"{self.heading} ({self.line})"


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, info: str | None = None) -> list[Block]:
    """The fenced blocks of a document, where `info` is given only those that carry it."""
    return [block for block in _blocks(read(name)) if info is None or block.info == info]


def _blocks(text: str) -> Iterator[Block]:
    heading, info, begin = "", None, 0
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if info is None:
                info, begin = line[3:].strip(), number + 1
            else:
                yield Block(heading, info, "\n".join(lines[begin:number]), begin + 1)
                info = None
        elif info is None and line.startswith("#"):
            heading = line.lstrip("#").strip()


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def section(name: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level, begin, found = 0, -1, read(name).splitlines()
    for number, line in enumerate(found):
        depth = len(line) - len(line.lstrip("#"))
        if begin >= 0 and 0 < depth <= level:
            return "\n".join(found[begin:number])
        if depth and begin < 0 and line.lstrip("# ") == heading:
            level, begin = depth, number + 1
    assert begin >= 0, f"{name} has no heading {heading}"
    return "\n".join(found[begin:])


def table(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their head rows; `\\|` is a bar."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    heads = {number - 1 for number, row in enumerate(cells) if set("".join(row)) <= set("-: ")}
    return [row for number, row in enumerate(cells) if number not in heads and number - 1 not in heads]


def code(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
