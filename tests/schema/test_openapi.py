"""The OpenAPI document is one, names every page and every route, and says what they are asked and answer."""

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_twisted
import treq
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from exchange_push.config import Api, Binance, Config, Internal
from exchange_push.edge.binance.endpoints import FOLDERS
from exchange_push.schema.openapi import BINANCE, CHARTS, INTERNAL, PUBLIC, Call, openapi
from tests.docs.documents import Block, blocks
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running
from tests.schema.validators import http, of_http, references, resolved

EXAMPLES = [
    (document, block)
    for document in ("docs/reference/http.md", "docs/reference/internal-push.md")
    for block in blocks(document, "wire")
]


def operation(method: str, path: str) -> tuple[str, Any] | None:
    """(path of the document, what it says of the call); None: it has no such call."""
    for template, calls in http()["paths"].items():
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", template)
        )
        if re.fullmatch(pattern, path) and method.lower() in calls:
            return template, calls[method.lower()]
    return None


def answered(found: Any, status: int) -> Any:
    """The schema of an answer of this status."""
    [content] = found["responses"][str(status)]["content"].values()
    return content["schema"]


def test_the_document_is_valid_by_the_official_rules() -> None:
    document = openapi(Config(internal=Internal(secret="geheim"), api=Api(publish_path="/push")))
    validate(document, cls=OpenAPIV31SpecValidator)

    del document["paths"]["/v1/clients/{uid}"]["get"]["parameters"]
    with pytest.raises(OpenAPIValidationError):
        validate(document, cls=OpenAPIV31SpecValidator)


def test_every_reference_leads_somewhere() -> None:
    for pointer in references(http()):
        assert resolved(http(), pointer)


def test_what_an_operator_configured_is_said() -> None:
    document = openapi(Config(internal=Internal(secret="geheim"), api=Api(publish_path="/push")))

    assert document["paths"]["/push"]["post"]["security"] == [{"secret": []}]
    assert "/v1/mesh/publish" not in document["paths"]
    assert http()["paths"]["/v1/mesh/publish"]["post"]["security"] == [{}, {"secret": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert "geheim" not in json.dumps(document)


@pytest_twisted.ensureDeferred
async def test_every_route_of_the_internal_api_is_there_and_no_other(start: Start) -> None:
    routes = start().server.api._routes
    internal = {
        (path, method)
        for path, calls in http()["paths"].items()
        for method, call in calls.items()
        if method != "servers" and call["tags"] == ["internal"]
    }
    found = {
        (path, method)
        for path, method in internal
        for route in routes
        if route.path.fullmatch(path.replace("{uid}", "1001")) and route.method == method.upper().encode()
    }

    assert found == internal
    assert len(internal) == len(routes) == len(INTERNAL) + 1


@pytest_twisted.ensureDeferred
async def test_every_page_of_ours_is_there_and_every_page_that_is_there_is_served(start: Start) -> None:
    running = start()
    pages = {path.decode() for path in running.server.front.web.resource._pages}
    documented = {call.path for call in (*PUBLIC, *CHARTS)}

    assert documented == {page for page in pages if page != "/" and not page.startswith("/web/") and page[-1] != "*"}
    assert {page[:-1] for page in pages if page[-1] == "*"} == {*FOLDERS, "/udf/"}
    assert {call.path for call in (*PUBLIC, *CHARTS, *BINANCE)} <= http()["paths"].keys()


def test_what_is_not_served_is_not_in_the_document() -> None:
    paths = openapi(Config(binance=Binance(enabled=False)))["paths"]

    assert not paths.keys() & {call.path for call in BINANCE}
    assert paths.keys() > {call.path for call in CHARTS}


class RecordedReplay(Replay):
    """Keeps what was asked over HTTP, and what came."""

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        self.asked: list[tuple[str, str, str, str]] = []

    async def _request(self, port: str, what: str) -> None:
        await super()._request(port, what)
        method, path, body = [*what.split(" ", 2), ""][:3]
        self.asked.append((method, path, body, self._answer))


@pytest.mark.parametrize(("document", "block"), EXAMPLES, ids=str)
@pytest_twisted.ensureDeferred
async def test_the_examples_are_as_the_document_has_them(start: Start, document: str, block: Block) -> None:
    replay = RecordedReplay(start())
    await replay.run(block)
    for method, path, body, answer in replay.asked:
        status, _, text = answer.partition(" ")
        found = operation(method, path.partition("?")[0])
        if found is None:
            assert status in ("404", "405")
            continue
        of_http(http(), answered(found[1], int(status))).validate(json.loads(text))
        if method == "POST":
            content = found[1]["requestBody"]["content"]["application/json"]["schema"]
            assert of_http(http(), content).is_valid(json.loads(body)) == (status == "200" or status == "502"), body
    assert replay.asked or not re.search("^(http|public) →", block.text, re.MULTILINE)


TRADE = ["trade", "BTCUSDT", 81, "50000.10", "0.250", "buy", 1_700_000_000_000, 9001]
BOOK = ["book", "BTCUSDT", 7000, 1_700_000_000_000, [["50000.00", "1.5"]], [["50000.10", "0.75"]]]
ASKED = {
    "/v1/symbols": "",
    "/v1/klines": "?symbol=BTCUSDT&interval=1d&from=0&to=2000000000000&limit=3",
    "/v1/trades": "?symbol=BTCUSDT&limit=3",
    "/v1/ticker": "?symbol=BTCUSDT",
    "/v1/depth": "?symbol=BTCUSDT&limit=10",
    "/asyncapi.json": "",
    "/openapi.json": "",
}


@pytest.mark.parametrize("path", [call.path for call in PUBLIC])
@pytest_twisted.ensureDeferred
async def test_a_page_answers_as_the_document_has_it(start: Start, path: str) -> None:
    running = start()
    client = await running.client("BTCUSDT@ticker", "BTCUSDT@depth", "BTCUSDT@trades")
    running.feed(TRADE, BOOK)
    heard: set[str] = set()
    while heard != {"BTCUSDT@ticker", "BTCUSDT@depth", "BTCUSDT@trades"}:
        heard.add((await client.next())["event"])
    found = operation("GET", path)
    assert found is not None
    known = {parameter["name"] for parameter in found[1].get("parameters", ())}
    assert set(re.findall(r"[?&](\w+)=", ASKED[path])) <= known
    status, answer = await get(running, path + ASKED[path])
    assert status == 200
    validator = of_http(http(), answered(found[1], 200))
    validator.validate(answer)
    assert not validator.is_valid("hello")
    first = answer[0] if isinstance(answer, list) else answer
    if path.startswith("/v1/"):
        for name in first:
            spoilt = {key: value for key, value in first.items() if key != name}
            assert not validator.is_valid([spoilt] if isinstance(answer, list) else spoilt), name


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("/v1/klines", 400),
        ("/v1/klines?symbol=btc", 400),
        ("/v1/klines?symbol=BTCUSDT&interval=7m", 400),
        ("/v1/klines?symbol=BTCUSDT&limit=0", 400),
        ("/v1/trades?symbol=BTCUSDT&limit=1501", 400),
        ("/v1/trades?symbol=BTCUSDT&from=-1", 400),
        ("/v1/depth?symbol=BTCUSDT&limit=1.5", 400),
        ("/v1/ticker?symbol=NOBODY", 404),
        ("/v1/depth?symbol=NOBODY", 404),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_query_that_is_refused_is_no_query_of_the_document_or_names_what_is_not_known(
    start: Start, query: str, status: int
) -> None:
    path, _, rest = query.partition("?")
    found = operation("GET", path)
    assert found is not None
    given = dict(pair.split("=") for pair in rest.split("&") if pair)
    fits = all(
        of_http(http(), parameter["schema"]).is_valid(as_number(given[parameter["name"]]))
        if parameter["name"] in given
        else not parameter["required"]
        for parameter in found[1]["parameters"]
    )
    code, answer = await get(start(), query)

    assert code == status
    assert fits == (status == 404)
    of_http(http(), answered(found[1], status)).validate(answer)


INDEX = ["index", "BTCUSDT", "elsewhere", "50000", "1", 1_700_000_000_000]
HEARD = {
    f"BTCUSDT@{kind}" for kind in ("avgprice", "bookticker", "markprice", "ticker", "ticker_1d", "depth", "trades")
}
CHARTED = {
    "/udf/config": [{}],
    "/udf/time": [{}],
    "/udf/symbols": [{"symbol": "BTCUSDT"}, {"symbol": "NONE"}],
    "/udf/search": [{"query": "BTC"}, {"limit": "many"}],
    "/udf/history": [
        {"symbol": "BTCUSDT", "resolution": "1", "countback": "2"},
        {"symbol": "BTCUSDT", "resolution": "1", "from": "0", "to": "60"},
        {"symbol": "BTCUSDT", "resolution": "1", "from": "2000000000", "to": "2000000060"},
        {"symbol": "BTCUSDT", "resolution": "7"},
    ],
    "/udf/quotes": [{"symbols": "BTCUSDT,NONE"}, {}],
}


def questions(call: Call) -> list[dict[str, str]]:
    """As many as give each answer that there is."""
    if call in CHARTS:
        return CHARTED[call.path]
    names = {parameter.name for parameter in call.parameters}
    whose: list[dict[str, str]] = [{"symbol": "BTCUSDT"}, {"symbols": '["BTCUSDT"]'}, {}]
    found = [given for given in whose if given.keys() <= names]
    if "contractType" in names:
        found = [{"pair": "BTCUSDT", "contractType": "PERPETUAL"}]
    if "interval" in names:
        found = [{**given, "interval": "1m"} for given in found]
    if "type" in names:
        found += [{**given, "type": "MINI"} for given in found]
    return [*found, {"nobody": "knows"}]


@pytest_twisted.ensureDeferred
async def test_pages_in_the_shapes_of_others_answer_all_that_the_document_says_and_no_more(start: Start) -> None:
    running = start()
    client = await running.client(*HEARD)
    running.feed(TRADE, BOOK, INDEX)
    heard: set[str] = set()
    while heard != HEARD:
        heard.add((await client.next())["event"])
    document = closed(http())
    for call in (*CHARTS, *BINANCE):
        found = document["paths"][call.path]["get"]
        documented = alternatives(answered(found, 200))
        said: list[Any] = []
        for given in questions(call):
            status, answer = await get(running, f"{call.path}?{urlencode(given)}")
            if status != 200:
                assert call in BINANCE
                of_http(document, answered(found, 400)).validate(answer)
                continue
            [kind] = [kind for kind in documented if of_http(document, kind).is_valid(answer)]
            said.append(kind)
            for name in answer if isinstance(answer, dict) else ():
                spoilt = {key: value for key, value in answer.items() if key != name}
                if kind != {"$ref": "#/components/schemas/NoBars"}:
                    assert not of_http(document, kind).is_valid(spoilt), (call.path, name)
        assert all(kind in said for kind in documented), call.path


def test_every_answer_is_described() -> None:
    vague = {
        path
        for path, calls in http()["paths"].items()
        for method, call in calls.items()
        if method != "servers" and not is_described(answered(call, 200))
    }

    assert vague == {"/asyncapi.json", "/openapi.json"}  # what is in there, their own specifications say
    assert all(is_described(schema) for schema in http()["components"]["schemas"].values() if schema["type"] == "array")


def is_described(schema: Any) -> bool:
    if "anyOf" in schema:
        return all(map(is_described, schema["anyOf"]))
    if schema.get("type") == "array":
        return schema.get("maxItems") == 0 or "prefixItems" in schema or is_described(schema.get("items", {}))
    if schema.get("type") == "object":
        return is_described(schema.get("additionalProperties", {}))
    return "$ref" in schema or "type" in schema


def alternatives(schema: Any) -> list[Any]:
    return list(schema.get("anyOf", [schema]))


def closed(found: Any) -> Any:
    """The same document, whose objects have no key that they do not name."""
    if isinstance(found, list):
        return [closed(each) for each in found]
    if not isinstance(found, dict):
        return found
    same = {key: closed(value) for key, value in found.items()}
    return {**same, "additionalProperties": False} if isinstance(found.get("properties"), dict) else same


def as_number(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest_twisted.ensureDeferred
async def test_the_page_is_the_document(start: Start) -> None:
    running = start()
    status, found = await get(running, "/openapi.json")

    assert status == 200
    assert found == json.loads(json.dumps(openapi(running.server.config)))


async def get(running: Running, path: str) -> tuple[int, Any]:
    url = f"http://{LOOPBACK}:{running.port('listen 1')}{path}"
    response = await treq.get(url, persistent=False, timeout=PATIENCE_S)
    return response.code, json.loads(await response.content())
