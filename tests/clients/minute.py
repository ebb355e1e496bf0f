"""A minute of the clients, read from its record (world.py)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.clients.truth import Truth
from tests.clients.world import NAMES

_LATE_S = 1
"""So late may come what is put on record: from the server to the client, and what it says of it."""


class Minute:
    def __init__(self, folder: Path, base: str) -> None:
        self.truth = Truth(f"{base}USDT", read(folder / "engine.jsonl"))
        self.marks: dict[str, dict[str, Any]] = {}
        self._said: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
        for line in read(folder / "clients.jsonl"):
            if line["kind"] == "mark":
                self.marks[line["what"]] = line
            else:
                self._said[line["client"]].append(line)
        self.mark_prices = [line["data"] for line in read(folder / "native.jsonl") if "event" in line]
        self.errors = {name: (folder / f"{name}.err").read_text(errors="replace")[-2000:] for name in NAMES}

    def said(self, name: str, kind: str) -> list[dict[str, Any]]:
        return [line for line in self._said[name] if line["kind"] == kind]

    def unheard(self, name: str, kind: str, at_s: float) -> bool:
        """Whether the client may have missed what was told then: its connection was lost, and it heard nothing yet."""
        for phase in {"kick", "disconnect"} & self.marks.keys():
            lost_s = self.marks[phase]["at"]
            again = [line["at"] for line in self.said(name, kind) if line["at"] > lost_s + _LATE_S]
            if lost_s - _LATE_S < at_s < min(again, default=lost_s):
                return True
        return False

    def notes(self, name: str) -> str:
        """For who has to find out why."""
        notes = [f"{line}"[:300] for line in self._said[name] if line["kind"] in ("note", "ended")]
        return "\n".join([*notes[-20:], self.errors[name]])


def read(file: Path) -> Iterator[dict[str, Any]]:
    with file.open() as lines:
        for line in lines:
            yield json.loads(line, parse_float=Decimal)
