"""What is asked over HTTP, of the public port and of the internal API, as an OpenAPI 3.1 document.

A page or a call more is a row more.
"""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from exchange_push.config import Config
from exchange_push.edge.binance.endpoints import FOLDERS
from exchange_push.edge.history import MOST, USUAL
from exchange_push.market.depth import DepthData
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineData
from exchange_push.market.merged import MergedTrade
from exchange_push.market.ticker import TickerData
from exchange_push.pubsub.channel import SYMBOL, UID
from exchange_push.schema.parts import LICENSE, Schema, described, our_version
from exchange_push.wire.described import (
    BinanceFault,
    Connection,
    EndAnswer,
    Health,
    Listing,
    PageFault,
    Push,
    PushAnswer,
    Refusal,
    Send,
    SendAnswer,
)
from exchange_push.wire.dialects import udf

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_PUBLIC: Final = {"url": "http://127.0.0.1:6790", "description": "the public port"}
_INTERNAL: Final = {"url": "http://127.0.0.1:6789", "description": "the internal API"}


class Parameter(NamedTuple):
    name: str
    type: Any
    about: str
    required: bool = False
    place: str = "query"


class Call(NamedTuple):
    """One thing that can be asked. `failures`: the statuses of answers of type `fault`."""

    method: str
    path: str
    about: str
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    body_required: bool = True
    failures: tuple[int, ...] = ()
    secret: bool = False
    answer_type: str = _JSON


_Symbol = Annotated[str, Meta(pattern=f"^{SYMBOL.pattern}$")]
_Interval = Annotated[str, Meta(extra_json_schema={"enum": list(INTERVALS), "default": "1m"})]
_Time = Annotated[int, Meta(ge=0)]
_Limit = Annotated[int, Meta(ge=1, le=MOST)]

_SYMBOL: Final = Parameter("symbol", _Symbol, "", required=True)
_SPAN: Final = (
    Parameter("from", _Time, "ms, inclusive; with it the oldest come first, without it the newest are chosen"),
    Parameter("to", _Time, "ms, exclusive"),
    Parameter("limit", _Limit, f"{USUAL} where nothing is said"),
)
_UID: Final = Parameter("uid", Annotated[str, Meta(pattern=f"^{UID.pattern}$")], "", required=True, place="path")
_LISTED: Final = Parameter("limit", _Time, "10,000 where nothing is said")

# fmt: off
PUBLIC: Final = (
    Call("get", "/v1/symbols", "the symbols that are configured or that the feed named", list[Listing]),
    Call("get", "/v1/klines", "candles, the running one too", list[KlineData],
         (_SYMBOL, Parameter("interval", _Interval, ""), *_SPAN), failures=(400, 404, 503)),
    Call("get", "/v1/trades", "merged trades", list[MergedTrade], (_SYMBOL, *_SPAN), failures=(400, 404, 503)),
    Call("get", "/v1/ticker", "figures of the last 24 hours", TickerData, (_SYMBOL,), failures=(400, 404)),
    Call("get", "/v1/depth", "the book", DepthData,
         (_SYMBOL, Parameter("limit", _Limit, "levels of each side")), failures=(400, 404)),
    Call("get", "/asyncapi.json", "the client protocol, for programs", dict[str, Any]),
    Call("get", "/openapi.json", "this document", dict[str, Any]),
)
# The feed of charts says what is wrong with status 200 (docs/reference/udf.md).
_REFUSED: Final = (200,)
_CHARTED: Final = Parameter("symbol", str, "", required=True)
CHARTS: Final = (
    Call("get", "/udf/config", "what the feed can do", udf.Config),
    Call("get", "/udf/time", "s since the epoch", int, answer_type=_TEXT),
    Call("get", "/udf/symbols", "what a chart has to know of a symbol", udf.SymbolInfo, (_CHARTED,),
         failures=_REFUSED),
    Call("get", "/udf/search", "symbols by a part of their names", list[udf.Hit],
         (Parameter("query", str, ""), Parameter("type", str, ""), Parameter("exchange", str, ""),
          Parameter("limit", _Time, "")), failures=_REFUSED),
    Call("get", "/udf/history", "bars", udf.Bars | udf.NoBars,
         (_CHARTED, Parameter("resolution", str, "one of those that /udf/config lists", required=True),
          Parameter("from", _Time, "s, inclusive"), Parameter("to", _Time, "s, exclusive"),
          Parameter("countback", _Time, "outranks from")), failures=_REFUSED),
    Call("get", "/udf/quotes", "prices of symbols", udf.Quotes,
         (Parameter("symbols", str, "separated by commas", required=True),), failures=_REFUSED),
)
BINANCE: Final = tuple(
    Call("get", folder + name, "as Binance's endpoint of this name",
         get_type_hints(endpoint.answer, include_extras=True)["return"],
         tuple(Parameter(parameter, str, "") for parameter in endpoint.names), failures=(400, 418, 429, 503))
    for folder, endpoints in FOLDERS.items()
    for name, endpoint in endpoints.items()
)
_PUBLISH: Final = (
    Call("post", "", "push to all who listen to a channel", PushAnswer | list[PushAnswer],
         body=Push | list[Push], failures=(400, 403, 413), secret=True)
)
INTERNAL: Final = (
    Call("post", "/v1/mesh/send", "push to one connection", SendAnswer,
         body=Send, failures=(400, 403, 413, 502), secret=True),
    Call("post", "/v1/events", "events of the engine", PushAnswer,
         body=list[list[Any]], failures=(400, 403, 413), secret=True),
    Call("post", "/v1/users/{uid}/logout", "end the logins of a user, and their private subscriptions", EndAnswer,
         (_UID,), body=dict[str, Any], body_required=False, failures=(400, 403), secret=True),
    Call("post", "/v1/users/{uid}/disconnect", "close the connections of a user", EndAnswer,
         (_UID,), body=dict[str, Any], body_required=False, failures=(400, 403), secret=True),
    Call("get", "/v1/channels", "channels that somebody listens to, and how many do", dict[str, int],
         (Parameter("prefix", str, "of the names"), _LISTED), failures=(400, 403), secret=True),
    Call("get", "/v1/clients", "connections", list[Connection], (_LISTED,), failures=(400, 403), secret=True),
    Call("get", "/v1/clients/{uid}", "connections of a user", list[Connection],
         (_UID, _LISTED), failures=(400, 403), secret=True),
    Call("get", "/metrics", "numbers for Prometheus", str, failures=(403,), secret=True, answer_type=_TEXT),
    Call("get", "/healthz", "is the process alive?", Health, failures=(403,)),
    Call("get", "/readyz", "should clients be sent here?", Health, failures=(403,)),
)
# fmt: on
_REASONS: Final = {
    400: "an argument cannot be used",
    403: "no or a wrong secret, an Origin or a Host that is not let in",
    404: "not known",
    413: "too large",
    418: "too many requests, and they went on: kept out for some time",
    429: "too many requests",
    502: "the connection to send to is not there, or too slow",
    503: "too many questions, or the store cannot be read",
}


def openapi(config: Config) -> Schema:
    """The document, with what the operator configured: where back ends push, and whether they need a secret."""
    internal = (_PUBLISH._replace(path=config.api.publish_path), *INTERNAL)
    calls: list[tuple[Call, Any, Schema, str]] = [(call, PageFault, _PUBLIC, "public") for call in PUBLIC]
    calls += [(call, udf.NoAnswer, _PUBLIC, "charts") for call in CHARTS]
    calls += [(call, BinanceFault, _PUBLIC, "binance") for call in BINANCE if config.binance.enabled]
    calls += [(call, Refusal, _INTERNAL, "internal") for call in internal]
    schemas = _Schemas(part for call, fault, _, _ in calls for part in (*_parts(call), fault))
    paths: dict[str, Schema] = {}
    for call, fault, server, tag in calls:
        operation = _operation(call, schemas, fault, tag)
        if call.secret:
            operation["security"] = [{"secret": []}] if config.secret else [{}, {"secret": []}]
        paths.setdefault(call.path, {"servers": [server]})[call.method] = operation
    # Not as its row says: the status is 503, and the body the same, where clients should not be sent.
    paths["/readyz"]["get"]["responses"]["503"] = _response("not now", schemas.of(Health))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "exchange-push: HTTP",
            "version": our_version(),
            "description": "Pages of the public port, and the internal API of back ends and operators. "
            "Where GET is answered, so is HEAD.",
            "license": LICENSE,
        },
        "servers": [_PUBLIC, _INTERNAL],
        "tags": [{"name": tag} for tag in ("public", "charts", "binance", "internal")],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"secret": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The schema of each type, made at once so that equal names are equal things."""

    def __init__(self, types: Iterable[Any]) -> None:
        alternatives = _alternatives(*types)
        found, self.components = described(alternatives)
        self._by_type = list(zip(alternatives, found, strict=True))

    def of(self, *types: Any) -> Schema:
        """Of what is one of them."""
        found = [next(schema for known, schema in self._by_type if known == type) for type in _alternatives(*types)]
        return found[0] if len(found) == 1 else {"anyOf": found}


def _alternatives(*types: Any) -> list[Any]:
    """Those of unions, too: msgspec describes none of two objects or two arrays."""
    return [each for type in types for each in (get_args(type) if get_origin(type) in (Union, UnionType) else (type,))]


def _parts(call: Call) -> Iterator[Any]:
    yield call.answer
    if call.body is not None:
        yield call.body
    for parameter in call.parameters:
        yield parameter.type


def _operation(call: Call, schemas: _Schemas, fault: Any, tag: str) -> Schema:
    found: Schema = {"summary": call.about, "tags": [tag], "operationId": _name(call)}
    if call.parameters:
        found["parameters"] = [_parameter(parameter, schemas) for parameter in call.parameters]
    if call.body is not None:
        content = {_JSON: {"schema": schemas.of(call.body)}}
        found["requestBody"] = {"required": call.body_required, "content": content}
    answers = [call.answer, fault] if 200 in call.failures else [call.answer]
    found["responses"] = {"200": _response("done", schemas.of(*answers), call.answer_type)}
    for status in call.failures:
        if status != 200:
            found["responses"][str(status)] = _response(_REASONS[status], schemas.of(fault))
    return found


def _name(call: Call) -> str:
    words = call.path.replace("{", "").replace("}", "").replace(".", "/").replace("-", "_").split("/")
    return "_".join([call.method, *filter(None, words)])


def _parameter(parameter: Parameter, schemas: _Schemas) -> Schema:
    found: Schema = {"name": parameter.name, "in": parameter.place, "required": parameter.required}
    if parameter.about:
        found["description"] = parameter.about
    return {**found, "schema": schemas.of(parameter.type)}


def _response(about: str, schema: Schema, content_type: str = _JSON) -> Schema:
    return {"description": about, "content": {content_type: {"schema": schema}}}
