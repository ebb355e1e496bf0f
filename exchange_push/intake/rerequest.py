"""The way back to the engine: requests for missing events, sent from a socket of the feed, to which the answers come.

What is asked for, and when, stands in wire/sequence.py.
"""

import socket
from typing import Any

from twisted.internet.udp import Port
from twisted.logger import Logger

from exchange_push.errors import ConfigError
from exchange_push.intake.feed_port import HostPort


class Asker:
    """Sends to the engine's re-request address, which may come to be known after the start."""

    log = Logger()

    def __init__(self, address: HostPort | None = None) -> None:
        self.unsent = 0
        """Requests that the socket did not take, or that nobody could be sent."""
        self.peer: tuple[Any, ...] | None = None
        """The address in the way of the socket, once there is one."""
        self._address = address
        self._port: Port | None = None

    def use(self, port: Port) -> None:
        """Ask from this port. Raises ConfigError where it cannot reach such an address."""
        self._port = port
        if self._address is not None:
            self.to(self._address)

    def to(self, address: HostPort) -> None:
        """Ask there. A name is looked up now, once. Raises ConfigError."""
        self._address = address
        if self._port is not None:
            try:
                found = socket.getaddrinfo(*address, family=self._port.addressFamily, type=socket.SOCK_DGRAM)
            except OSError as error:
                raise ConfigError(f"feed.rerequest: {address}: {error.strerror}") from None
            self.peer = found[0][4]

    def ask(self, datagram: bytes) -> None:
        try:
            if self._port is not None and self.peer is not None:
                self._port.write(datagram, self.peer[:2])
                return
        except OSError as error:
            if self.unsent == 0:
                self.log.warn("cannot ask the engine at {address}: {error}", address=self._address, error=error)
        self.unsent += 1

    def stop(self) -> None:
        self._port = self.peer = None
