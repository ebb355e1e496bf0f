"""What the configuration allows clients, by the language that they speak."""

from collections.abc import Callable
from dataclasses import replace

from exchange_push.config import Config
from exchange_push.edge.front import one_spelling
from exchange_push.edge.websocket import ClientOptions
from exchange_push.errors import CloseCode
from exchange_push.pubsub.terms import Terms


def client_options(config: Config) -> ClientOptions:
    """Of our own language, and of who has not said yet which it speaks."""
    clients = config.clients
    return ClientOptions(
        origins=clients.origins,
        proxies=frozenset(map(one_spelling, clients.proxies)),
        max_connections=clients.max_connections,
        max_per_address=clients.max_per_address,
        message_bytes=clients.message_bytes,
        bytes_per_s=clients.message_bytes,
        bytes_burst=16 * clients.message_bytes,
        compression=clients.compression,
        ping_s=clients.ping_s,
        pong_s=clients.pong_s,
    )


def binance_options(config: Config, options: ClientOptions) -> ClientOptions:
    binance = config.binance
    return replace(
        options,
        frames_per_s=binance.frames_per_s,
        frames_burst=binance.frames_per_s,
        ping_s=binance.ping_s,
        pong_s=binance.pong_s,
        life_s=binance.life_s,
        attempts=binance.attempts,
        flooded=CloseCode.POLICY_VIOLATION,
    )


def binance_terms(config: Config, terms: Terms, is_listed: Callable[[str], bool]) -> Terms:
    """`is_listed`: does a symbol exist, where the configuration lists none?"""
    binance, registry = config.binance, terms.registry
    if not binance.reject_unknown:
        registry = registry.knowing(lambda symbol: True)
    elif not config.market.symbols:
        registry = registry.knowing(is_listed)
    # Requests are frames, and those are counted by the connection: there is no second limit.
    return replace(
        terms,
        registry=registry,
        max_subscriptions=binance.max_streams,
        requests_per_s=2 * binance.frames_per_s,
        requests_burst=2 * binance.frames_per_s,
    )
