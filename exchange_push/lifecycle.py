"""Parts that only start and stop: a port that listens, and a clock that ticks."""

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.errors import ConfigError

log = Logger()

_BACKLOG: Final = 4096  # Twisted's 50 lets a storm of reconnects starve
_COLON: Final = re.compile(r"(?<!\\):")
_WITH_BACKLOG: Final = ("tcp", "tcp6", "ssl")


class Listener(Service):
    """A port. It is bound before the reactor runs, so that a port in use ends the start with one line."""

    def __init__(self, name: str, reactor: Any, endpoint: str, factory: IProtocolFactory) -> None:
        self.setName(name)
        self._endpoint = endpoint
        self._server = serverFromString(reactor, _with_backlog(endpoint))
        self._factory = factory
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        self._bind()

    def startService(self) -> None:
        self._bind()
        super().startService()

    def _bind(self) -> None:
        """Raises ConfigError; every kind of endpoint binds before `listen` returns."""
        if self.port is None:
            failures: list[Failure] = []
            bound: Deferred[IListeningPort] = self._server.listen(self._factory)
            bound.addCallbacks(self._bound, failures.append)
            if failures:
                reason = getattr(failures[0].value, "socketError", failures[0].value)
                raise ConfigError(f"{self.name}: cannot listen on {self._endpoint}: {reason}")

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        log.info("{name} listens on {address}", name=self.name, address=port.getHost())

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        port, self.port = self.port, None
        return maybeDeferred(lambda: None if port is None else port.stopListening())


def _with_backlog(endpoint: str) -> str:
    kind, *options = _COLON.split(endpoint.removeprefix("haproxy:"))
    # Options without a name stand by their place; the backlog would then be given twice.
    named = all("=" in option for option in options[1:])
    return (
        f"{endpoint}:backlog={_BACKLOG}"
        if kind in _WITH_BACKLOG and named and ":backlog=" not in endpoint
        else endpoint
    )


class Ticks(Service):
    """Calls `tick` every `every_s`; a fault in one tick is logged and does not end the next."""

    name = "ticks"

    def __init__(self, reactor: Any, every_s: float, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._every_s = every_s
        self._loop = LoopingCall(self._guarded)
        self._loop.clock = reactor
        self.faults = 0

    def startService(self) -> None:
        super().startService()
        self._loop.start(self._every_s, now=False)

    def stopService(self) -> None:
        super().stopService()
        self._loop.stop()

    def _guarded(self) -> None:
        try:
            self._tick()
        except Exception:  # the border: one wrong symbol must not silence all
            self.faults += 1
            log.failure("a tick failed")
