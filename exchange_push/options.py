"""The command line: flags, and the one line and exit status 1 for what is wrong with them or the configuration."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from ipaddress import ip_address
from typing import Final, NoReturn

from msgspec import structs
from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.python.url import URL

from exchange_push import catalog
from exchange_push.config import Config, load
from exchange_push.errors import ConfigError, quoted
from exchange_push.intake.feed_port import Sources, parse_feed, parse_rerequest
from exchange_push.intake.gate import guard_listen

_DEMO_STORE: Final = "exchange-push-demo.sqlite"
_KEYS: Final = (
    ("api", "api.listen"),
    ("lines", "lines.listen"),
    ("rerequest", "feed.rerequest"),
    ("feed-key", "feed.key_file"),
    ("book-url", "book.url"),
    ("auth-url", "auth.url"),
    ("store", "store"),
    ("record", "record"),
)


class Options(usage.Options):
    """Flags of `twistd exchange-push`. What is wrong with them is one line and exit status 1."""

    synopsis = "[options]"
    longdesc = "Calculates an exchange's market data and pushes it, with private events, to WebSocket clients."
    optFlags = (
        ("demo", None, "Start a pretend exchange and auth service beside the server."),
        ("check-config", None, "Read the configuration, say whether it is right, and exit."),
    )
    optParameters = (
        ("config", None, None, "TOML file of the configuration."),
        ("api", None, None, "Endpoint of the internal HTTP and WebSocket API. [default: tcp:6789:interface=127.0.0.1]"),
        ("lines", None, None, "Endpoint of the TCP push line. [default: tcp:6792:interface=127.0.0.1]"),
        ("rerequest", None, None, "HOST:PORT where the engine is asked for events again. [default: none]"),
        ("feed-key", None, None, "File of the key that seals the engine's packets. [default: none]"),
        ("book-url", None, None, "URL of the engine's books, with {symbol} in it, where they are to be polled."),
        ("store", None, None, "File of candles, trades and state, or none. [default: exchange-push.sqlite]"),
        ("record", None, None, "File to append all that comes in to, for exchange-push-rerun."),
        ("auth-url", None, None, "URL of the auth service. [default: http://127.0.0.1:8000/websocket_auth]"),
    )

    config: Config

    def __init__(self) -> None:
        super().__init__()
        self._listen: list[str] = []
        self._feed: list[str] = []

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint of the public WebSocket and pages; may repeat. [default: tcp:6790]"""
        self._listen.append(endpoint)

    def opt_feed(self, address: str) -> None:
        """Address of the engine's UDP feed, udp:PORT[:interface=…][:multicast=GROUP]; may repeat.
        [default: udp:6791:interface=127.0.0.1]"""
        self._feed.append(address)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"exchange-push {version('exchange-push')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            exit_with(str(error))

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"found {quoted(args[0])}, expected options only")

    def postOptions(self) -> None:
        flags: dict[str, object] = {}
        if self._listen:
            flags["listen"] = self._listen
        if self._feed:
            flags["feed.listen"] = self._feed
        for flag, key in _KEYS:
            if self[flag] is not None:
                flags[key] = self[flag]
        try:
            self.config = load(flags, os.environ, self["config"])
            check(self.config)
        except ConfigError as error:
            exit_with(str(error))
        if self["demo"] and self.config.store == Config().store:
            # Or a real server that is started there next would go on with the demo's market.
            self.config = structs.replace(self.config, store=_DEMO_STORE)
        if self["check-config"]:
            print("The configuration is right.")
            raise SystemExit(0)


def check(config: Config) -> None:
    """What the types of keys cannot say. Raises ConfigError."""
    from twisted.internet import reactor

    secret = config.secret
    for key, endpoint in (("api.listen", config.api.listen), ("lines.listen", config.lines.listen)):
        guard_listen(endpoint, secret, key)
    endpoints = [("listen", endpoint) for endpoint in config.listen]
    endpoints += [("api.listen", config.api.listen), ("lines.listen", config.lines.listen)]
    for key, endpoint in endpoints:
        try:
            serverFromString(reactor, endpoint)
        except Exception as error:  # whatever a plugin of an endpoint raises for what it cannot read
            raise ConfigError(f"{key}: {endpoint} is no endpoint: {error}; expected one like tcp:6790") from None
    for address in config.feed.listen:
        parse_feed(address)
    if config.feed.rerequest is not None:
        parse_rerequest(config.feed.rerequest)
    Sources(config.feed.sources)
    _ = config.feed_key, config.keep_ms
    for address in config.clients.proxies:
        try:
            ip_address(address)
        except ValueError:
            raise ConfigError(f"clients.proxies: found {quoted(address)}, expected an IP address") from None
    for origin in config.clients.origins:
        if origin != "*" and "://" not in origin:
            raise ConfigError(f"clients.origins: found {quoted(origin)}, expected * or one like https://ex.example")
    url = URL.fromText(config.auth.url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"auth.url: found {quoted(config.auth.url)}, expected http://HOST:PORT/PATH or https://…")
    if config.book.url is not None:
        url = URL.fromText(config.book.url.replace("{symbol}", "SYMBOL"))
        if url.scheme not in ("http", "https") or not url.host or "{symbol}" not in config.book.url:
            expected = "http://HOST:PORT/PATH?symbol={symbol} or https://…"
            raise ConfigError(f"book.url: found {quoted(config.book.url)}, expected {expected}")
    taken = {kind.name for kind in (*catalog.COMPUTED, *catalog.PUSHED)} | catalog.ALIASES.keys()
    for name in config.channels.public + config.channels.private:
        if name in taken:
            raise ConfigError(f"channels: {name} is a channel type already, expected a new name")


def exit_with(line: str) -> NoReturn:
    print(f"exchange-push: {line}", file=sys.__stderr__)  # twistd has made sys.stderr a log by the time ports are bound
    raise SystemExit(1)
