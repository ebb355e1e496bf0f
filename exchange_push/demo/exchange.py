"""The pretend exchange, complete: its auth service, its engine, and what the terminal shows of it."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService, MultiService

from exchange_push.demo.auth import AuthServer
from exchange_push.demo.engine import Engine
from exchange_push.demo.screen import Screen
from exchange_push.demo.sender import Address, Faults


def demo_service(
    reactor: Any,
    *,
    feeds: Sequence[Address],
    public_url: str,
    auth_port: int,
    seed: int,
    api_url: str = "http://127.0.0.1:6789",
    faults: Faults = Faults(),  # noqa: B008  # a value: it cannot change
    key: bytes | None = None,
    rerequest_port: int = 0,
    listening: Callable[[Address], None] = lambda address: None,
) -> IService:
    """Runs beside a real server, which hears the engine at `feeds` and asks http://127.0.0.1:`auth_port`/websocket_auth.
    The engine can be asked for events again at `rerequest_port`, 0: any; `listening` is told where.

    The same `seed`, begun at the same time, gives the same market. Starting raises ConfigError where a port is in use.
    """
    exchange = MultiService()
    exchange.setName("demo")
    AuthServer(reactor, auth_port).setServiceParent(exchange)
    engine = Engine(reactor, feeds, seed, faults=faults, key=key, port=rerequest_port, listening=listening)
    engine.setServiceParent(exchange)
    Screen(reactor, public_url, api_url).setServiceParent(exchange)
    return exchange
