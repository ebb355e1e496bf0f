"""docs/reference/metrics.md names every metric of a running server, and no other."""

import re
from pathlib import Path

import pytest_twisted
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.documents import code, read, section, table
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/metrics.md"


def documented() -> list[tuple[str, str, str, str]]:
    """(name, label, type, meaning)"""
    rows = [row for row in table(read(DOCUMENT)) if len(row) == 3]
    names = [code(row[0])[0] for row in rows]
    return [
        (name.partition("{")[0], name.partition("{")[2].rstrip("}"), *row[1:])
        for name, row in zip(names, rows, strict=True)
    ]


@pytest_twisted.ensureDeferred
async def test_the_metrics_are_those_of_a_running_server(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    client = await running.client(token="***")
    await running.push({}, path="/v1/users/1001/disconnect")
    assert await client.close_code() == 4503  # a code that is counted has its label
    found = set()
    for family in text_string_to_metric_families(await running.get("/metrics")):
        total = "_total" if family.type == "counter" else ""
        label = ",".join(label for label in family.samples[0].labels if label != "le")
        found.add((family.name + total, label, family.type, family.documentation))

    assert set(documented()) == found
    assert len(documented()) == len(found)


def test_what_to_watch_is_among_the_metrics() -> None:
    names = {name for name, *_ in documented()}
    watched = {name.partition("{")[0] for row in table(section(DOCUMENT, "What to watch")) for name in code(row[0])}

    assert watched
    assert watched <= names
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
