"""Where the demo stands: beside the real server, on the addresses that the server's configuration has."""

from decimal import Decimal
from typing import Any

from twisted.application.service import IService
from twisted.python.url import URL

from exchange_push.config import Config
from exchange_push.demo.crowd import LISTINGS
from exchange_push.demo.exchange import demo_service
from exchange_push.demo.sender import Faults
from exchange_push.errors import ConfigError
from exchange_push.intake.feed_port import HostPort, parse_feed, parse_rerequest
from exchange_push.intake.gate import is_loopback
from exchange_push.intake.rerequest import Asker
from exchange_push.market.product import Product


def demo_products(config: Config) -> dict[str, Product]:
    """What the demo's symbols are, and what the configuration says of symbols beside or instead of that."""
    products = {
        instrument.symbol: Product(
            tick_size=Decimal(1).scaleb(-instrument.price_digits), step_size=Decimal(1).scaleb(-instrument.qty_digits)
        )
        for instrument in (listing.instrument for listing in LISTINGS)
    }
    return {**products, **config.symbols}


def demo_beside(config: Config, reactor: Any, asker: Asker) -> IService:
    """A pretend exchange for a server of this configuration; `asker` is told where its engine takes re-requests.

    Raises ConfigError where the server is not to be reached on this host by plain TCP and UDP.
    """
    auth = URL.fromText(config.auth.url)
    if not is_loopback(auth.host):
        raise ConfigError(f"auth.url: {config.auth.url}, expected a loopback address with --demo")
    rerequest = parse_rerequest(config.feed.rerequest) if config.feed.rerequest else HostPort("localhost", 0)
    if not is_loopback(rerequest.host):
        raise ConfigError(f"feed.rerequest: {rerequest}, expected a loopback address with --demo")
    feeds = [parse_feed(address) for address in config.feed.listen]
    demo = config.demo
    return demo_service(
        reactor,
        feeds=[(_reachable(feed.multicast or feed.interface), feed.port) for feed in feeds],
        public_url=f"ws://{_address('listen', config.listen[0])}{config.clients.path}",
        api_url=f"http://{_address('api.listen', config.api.listen)}",
        auth_port=auth.port or 80,
        seed=demo.seed,
        faults=Faults(demo.loss, demo.repeat, demo.reorder, demo.delay_ms),
        key=config.feed_key,
        rerequest_port=rerequest.port,
        listening=lambda address: asker.to(HostPort(*address)),
    )


def _reachable(interface: str) -> str:
    """An address by which this host reaches what listens on an interface."""
    return "127.0.0.1" if interface in ("", "0.0.0.0") else interface


def _address(key: str, endpoint: str) -> str:
    """host:port of a plain TCP endpoint of ours."""
    kind, port, *options = endpoint.split(":")
    if kind != "tcp" or not port.isdecimal():
        raise ConfigError(f"{key}: {endpoint}, expected tcp:PORT with --demo")
    interfaces = [option.removeprefix("interface=") for option in options if option.startswith("interface=")]
    return f"{_reachable(''.join(interfaces))}:{port}"
