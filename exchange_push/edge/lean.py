"""Autobahn's server protocol without what it does and keeps for lines of a debug log.

Half of its handshake is spent on formatting options and colouring names, whether anybody sees them or not, and after it
each connection keeps the options, the request and counters of its own. Nothing here changes what goes over the wire.
"""

from collections import deque
from typing import Any, ClassVar, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats
from twisted.logger import Logger

_NOTHING_QUEUED: Final[deque[object]] = deque(maxlen=0)


class _Quiet:
    """Autobahn's own log lines quote what a peer sent and cost more than a send: we count instead."""

    def debug(self, *args: object, **fields: object) -> None: ...

    trace = info = warn = debug
    error = Logger("autobahn").error


class LeanProtocol(WebSocketServerProtocol):
    """It keeps no options: they are the class's (`sharing_options`)."""

    log = _Quiet()
    transport: Any
    CONFIG_ATTRS = ()  # type: ignore[assignment]  # a list there, which nobody changes
    traffic: ClassVar[TrafficStats]

    def dataReceived(self, data: bytes) -> None:
        self._dataReceived(data)  # as the adapter's, which formats a line first

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)  # nothing is chopped here

    def forget_handshake(self) -> None:
        """The connection is open: what was of use until then need not be kept."""
        self.http_request_data = b""
        self.http_status_line = ""
        self.http_headers: dict[str, str] = {}
        self.http_request_params: dict[str, list[str]] = {}
        self.send_queue = _NOTHING_QUEUED
        self.trafficStats = self.traffic  # nobody reads them one by one


def sharing_options(factory: WebSocketServerFactory, protocol: type[LeanProtocol]) -> type[LeanProtocol]:
    """The protocol with the options that the factory has now; they are no longer copied to each connection."""
    options = {name: getattr(factory, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
    options = {name: staticmethod(option) if callable(option) else option for name, option in options.items()}
    return type(protocol.__name__, (protocol,), {**options, "traffic": TrafficStats()})
