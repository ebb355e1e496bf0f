"""The pretend exchange, complete: its auth service, its engine, and what the terminal shows of it."""

from typing import Any

from twisted.application.service import IService, MultiService

from exchange_push.demo.auth import AuthServer
from exchange_push.demo.engine import Engine
from exchange_push.demo.screen import Screen


def demo_service(
    reactor: Any,
    *,
    feed: tuple[str, int],
    public_url: str,
    auth_port: int,
    seed: int,
    api_url: str = "http://127.0.0.1:6789",
) -> IService:
    """Runs beside a real server, which hears the engine at `feed` and asks http://127.0.0.1:`auth_port`/websocket_auth.

    The same `seed`, begun at the same time, gives the same market. Starting raises ConfigError where the port of the
    auth service is in use.
    """
    exchange = MultiService()
    exchange.setName("demo")
    AuthServer(reactor, auth_port).setServiceParent(exchange)
    Engine(reactor, feed, seed).setServiceParent(exchange)
    Screen(reactor, public_url, api_url).setServiceParent(exchange)
    return exchange
