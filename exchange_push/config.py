"""Configuration: frozen values; flags over EXCHANGE_PUSH_* variables over one TOML file over the defaults below.

What is wrong is a ConfigError of one line that names the key and what was expected.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from exchange_push.errors import ConfigError, quoted
from exchange_push.market.interval import INTERVALS
from exchange_push.market.product import Count, Positive, Product
from exchange_push.pubsub.channel import KIND_NAME, SYMBOL
from exchange_push.wire.packet import KEY_BYTES

PREFIX: Final = "EXCHANGE_PUSH_"
_VARIABLE_OF_FILE: Final = "EXCHANGE_PUSH_CONFIG"

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
HttpPath = Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*\Z")]
KindName = Annotated[str, msgspec.Meta(pattern=rf"^{KIND_NAME.pattern}\Z")]
RetentionName = Annotated[str, msgspec.Meta(pattern=rf"^({'|'.join(INTERVALS)}|trades)\Z")]
Duration = Annotated[str, msgspec.Meta(pattern=r"^(forever|[1-9][0-9]{0,5}[hd])\Z")]
ExchangeName = Annotated[str, msgspec.Meta(pattern=r"^[!-+\--9;-~]{1,32}\Z")]  # no comma, colon, space
SymbolName = Annotated[str, msgspec.Meta(pattern=rf"^{SYMBOL.pattern}\Z")]


_HOURS: Final = {"h": 1, "d": 24}
RETENTION: Final = {"1s": "2d", **dict.fromkeys(("1m", "3m", "5m", "15m", "30m"), "90d"), "trades": "1d"}
"""How long what is stored is kept, where nothing else is said; what is not named, for ever."""
# Running candles and the window of 24 hours are made of these when a server starts.
_LEAST_HOURS: Final = {"1s": 25, "1m": 25, "1h": 48, "1d": 32 * 24}


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Api(_Table, frozen=True):
    listen: str = "tcp:6789:interface=127.0.0.1"
    publish_path: HttpPath = "/v1/mesh/publish"


class Lines(_Table, frozen=True):
    listen: str = "tcp:6792:interface=127.0.0.1"
    line_bytes: Positive = 1 << 20


class Internal(_Table, frozen=True):
    """Who may push: API, push line and their WebSocket."""

    secret: str | None = None
    secret_file: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Feed(_Table, frozen=True):
    listen: tuple[str, ...] = ("udp:6791:interface=127.0.0.1",)
    rerequest: str | None = None
    key_file: str | None = None
    sources: tuple[str, ...] = ()
    stale_ms: Positive = 3000
    deadline_ms: Positive = 1000
    grace_ms: Count = 2
    waiting: Positive = 65536


class Book(_Table, frozen=True):
    """Books asked for over HTTP."""

    url: str | None = None
    """`{symbol}` stands for the symbol."""
    interval_ms: Annotated[int, msgspec.Meta(ge=50)] = 1000


class Auth(_Table, frozen=True):
    url: str = "http://127.0.0.1:8000/websocket_auth"
    format: Literal["json", "form"] = "json"
    timeout_s: Seconds = 2.0
    in_flight: Positive = 100


class Clients(_Table, frozen=True):
    path: HttpPath = "/exchange-stream"
    page: bool = True
    """Serve the page at /, and its files."""
    origins: tuple[str, ...] = ("*",)
    proxies: tuple[str, ...] = ()
    """Addresses of proxies in front, whose X-Forwarded-For is believed."""
    max_connections: Count = 0
    max_per_address: Count = 0
    max_subscriptions: Positive = 256
    requests_per_s: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    requests_burst: Positive = 100
    message_bytes: Positive = 65536
    ping_s: Seconds = 20.0
    pong_s: Seconds = 10.0
    compression: bool = True
    """Agree to permessage-deflate with clients that offer it."""
    outbox_bytes: Annotated[int, msgspec.Meta(ge=65536)] = 1 << 20
    outbox_total_bytes: Positive = 512 << 20


class Binance(_Table, frozen=True):
    """Clients of Binance. Counts of 0: no limit."""

    enabled: bool = True
    reject_unknown: bool = True
    """A stream of a symbol that is not known is an error, not silence."""
    frames_per_s: Positive = 5
    """Of a connection, pings and pongs too; one more and it is closed."""
    max_streams: Positive = 1024
    attempts: Count = 300
    """To connect, of an address in 5 minutes."""
    life_s: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    ping_s: Seconds = 20.0
    pong_s: Seconds = 60.0
    weight_per_minute: Count = 6000
    """Of an address, over HTTP."""
    refusals: Positive = 100
    """Requests beyond it in a minute; then the address is banned,"""
    ban_s: Annotated[int, msgspec.Meta(ge=1, le=259_200)] = 120
    """for so long at first."""


class Market(_Table, frozen=True):
    exchange: ExchangeName = "EXCHANGE"
    """The name that charts show."""
    close_grace_ms: Count = 250
    symbols: tuple[SymbolName, ...] = ()


class Channels(_Table, frozen=True):
    prefix: str = "ex:"
    """What names of internal pushes may carry in front."""
    public: tuple[KindName, ...] = ()
    private: tuple[KindName, ...] = ()


class Demo(_Table, frozen=True):
    """`loss`, `repeat`, `reorder`, `delay_ms`: what the pretended network does to the feed."""

    seed: int = 1
    loss: Share = 0.0
    repeat: Share = 0.0
    reorder: Share = 0.0
    delay_ms: Count = 0


class Config(_Table, frozen=True):
    listen: tuple[str, ...] = ("tcp:6790",)
    api: Api = Api()
    lines: Lines = Lines()
    internal: Internal = Internal()
    feed: Feed = Feed()
    book: Book = Book()
    auth: Auth = Auth()
    clients: Clients = Clients()
    binance: Binance = Binance()
    market: Market = Market()
    symbols: dict[SymbolName, Product] = {}
    channels: Channels = Channels()
    store: str = "exchange-push.sqlite"
    """File of the store, or `none`."""
    retention: dict[RetentionName, Duration] = {}
    record: str | None = None
    """File of the intake record."""
    demo: Demo = Demo()

    @property
    def secret(self) -> str | None:
        """The internal secret, from where it is kept. Raises ConfigError when its file cannot be read."""
        if self.internal.secret == "":
            raise ConfigError("internal.secret is empty, expected the secret or no such key")
        if self.internal.secret is not None:
            return self.internal.secret
        if self.internal.secret_file is None:
            return None
        try:
            secret = Path(self.internal.secret_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"internal.secret_file: {error}") from None
        if not secret:
            raise ConfigError(f"internal.secret_file: {self.internal.secret_file} is empty, expected the secret")
        return secret

    @property
    def keep_ms(self) -> dict[str, int]:
        """How long what is stored is kept, in ms of market time; what is not named, for ever. Raises ConfigError."""
        found: dict[str, int] = {}
        for name, duration in {**RETENTION, **self.retention}.items():
            if duration == "forever":
                continue
            hours = int(duration[:-1]) * _HOURS[duration[-1]]
            least = _LEAST_HOURS.get(name, 1)
            if hours < least:
                raise ConfigError(f"retention.{name}: found {quoted(duration)}, expected at least {least}h")
            found[name] = hours * 3_600_000
        return found

    @property
    def feed_key(self) -> bytes | None:
        """What the packets of the feed are sealed with. Raises ConfigError where it is no key."""
        if self.feed.key_file is None:
            return None
        try:
            found = Path(self.feed.key_file).read_bytes()
        except OSError as error:
            raise ConfigError(f"feed.key_file: {error}") from None
        text = found.strip()
        key = text if text.isascii() and text.decode().isprintable() else found  # the end of a line is no part of it
        if not 1 <= len(key) <= KEY_BYTES:
            raise ConfigError(f"feed.key_file: {len(key)} bytes, expected 1 to {KEY_BYTES}")
        return key


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: str | None = None) -> Config:
    """The configuration that holds: `flags` by dotted key, in the types of their keys. Raises ConfigError."""
    environ = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    file = file or environ.get(_VARIABLE_OF_FILE)
    values: dict[str, Any] = _read(file) if file else {}
    _convert(values, file or "configuration")  # an error of the file names the file
    for name, text in environ.items():
        if name != _VARIABLE_OF_FILE:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            _put(values, key, _from_text(name, key, text))
    for key, value in flags.items():
        _put(values, key, value)
    config = _convert(values, "configuration")
    for kind in config.channels.public + config.channels.private:
        if (config.channels.public + config.channels.private).count(kind) > 1:
            raise ConfigError(f"channels: {kind} stands there twice, expected each channel type once")
    return config


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {file}: not TOML: {error}") from None


def _convert(values: Mapping[str, Any], where: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        msg, _, path = str(error).partition(" - at ")
        key = path.replace("`", "").removeprefix("key in ").lstrip("$.").replace("[...]", ".*")
        unknown = "Object contains unknown field `"
        if msg.startswith(unknown):
            found = msg.removeprefix(unknown).rstrip("`")
            known = ", ".join(_table(key).__struct_fields__)
            key = _with_symbol(f"{key}.{found}" if key else found, values)
            raise ConfigError(f"{where}: unknown key {key}, expected one of {known}") from None
        key = _with_symbol(key, values)
        raise ConfigError(f"{where}: {key or 'the whole'}: {msg[:1].lower()}{msg[1:]}") from None


def _with_symbol(key: str, values: Mapping[str, Any]) -> str:
    """The key with the symbol whose table is wrong in the place of `*`."""
    if key.startswith("symbols.*"):
        for symbol, table in values["symbols"].items():
            try:
                msgspec.convert(table, Product)
            except msgspec.ValidationError:
                return key.replace("*", symbol, 1)
    return key


def _table(key: str) -> type[msgspec.Struct]:
    """The table at a dotted key; `*` stands for any symbol."""
    table: Any = Config
    for part in filter(None, key.split(".")):
        table = Product if part == "*" else get_type_hints(table)[part]
    return table  # type: ignore[no-any-return]


def _type_of(key: str) -> Any:
    """The type of a dotted key; None where there is no such key."""
    found: Any = Config
    for part in key.split("."):
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            return None
        found = get_type_hints(found, include_extras=True).get(part)
    return found


def _from_text(name: str, key: str, text: str) -> object:
    """The value that a variable's text means for its key."""
    kind = _type_of(key)
    if kind is None or get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        raise ConfigError(f"{name}: no such key, expected one of {', '.join(sorted(variables()))}")
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is str or (get_origin(kind) in (Union, UnionType) and str in get_args(kind)):
        return text
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: found {quoted(text)}, {str(error)[:1].lower()}{str(error)[1:]}") from None


def keys() -> dict[str, object]:
    """Every key with its default, dotted, but for the tables whose keys are names of the market's."""
    return {key: default for key, default in _walk(Config(), "") if key not in ("symbols", "retention")}


def variables() -> dict[str, str]:
    """The variable of every key."""
    return {PREFIX + key.upper().replace(".", "__"): key for key in keys()}


def _walk(table: msgspec.Struct, prefix: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if isinstance(value, msgspec.Struct):
            found += _walk(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _put(values: dict[str, Any], key: str, value: object) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[last] = value
