"""docs/howto/write-a-client.md tells of every event of the JavaScript client, and of no other."""

import re

from tests.docs.documents import ROOT, code, section, table

DOCUMENT = "docs/howto/write-a-client.md"


def test_the_events_are_those_that_the_client_tells() -> None:
    source = (ROOT / "exchange_push" / "web" / "exchange-push.mjs").read_text(encoding="utf-8")
    told = set(re.findall(r'#tell\("(\w+)"', source)) | {"stale", "live"}  # these two as the server names them
    documented = [name for row in table(section(DOCUMENT, "JavaScript")) for name in code(row[0])]

    assert sorted(documented) == sorted(told)


def test_the_pauses_are_those_of_the_client() -> None:
    source = (ROOT / "exchange_push" / "web" / "exchange-push.mjs").read_text(encoding="utf-8")
    text = section(DOCUMENT, "JavaScript")
    numbers = {
        name: int(value.replace("_", "")) for name, value in re.findall(r"^  (\w+Ms): ([\d_]+),", source, re.MULTILINE)
    }

    assert (numbers["backoffMs"], "up to half a second" in text) == (500, True)
    assert f"up to {numbers['backoffMostMs'] // 1000} s" in text
    assert f"ping for {numbers['pongMs'] // 1000} s" in text
    assert f"every {numbers['pingMs'] // 1000} s" in text
