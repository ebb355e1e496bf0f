"""The feed's sockets: addresses as the operator writes them, the port, the kernel's buffer behind it.

Who reads them, and what for, stands in udp.py.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port

from exchange_push.errors import ConfigError, quoted

PACKET_BYTES: Final = 65_536  # Twisted's 8,192 cuts without a word; a datagram that fills it was cut too
RECEIVE_BUFFER_BYTES: Final = 8 << 20  # Linux's default holds 166 small datagrams, this 6,500: 0.3 s of a stall

_TURN_DATAGRAMS: Final = 512  # empty ones weigh nothing in bytes: a flood of them would never let the loop go on
# 5,000 trades, 7 ms. A turn that writes to thousands of clients takes ten times as long: with less the feed would lag.
_TURN_BYTES: Final = 393_216
_SO_RCVBUFFORCE: Final = 33  # Linux; the socket module does not name it

_KNOWN_SOURCES: Final = 1_024  # looked up once; who sends from forged addresses fills no more

_EXPECTED = "udp:PORT[:interface=ADDRESS][:multicast=GROUP]"


class FeedAddress(NamedTuple):
    port: int
    interface: str = "127.0.0.1"
    """An IP address of this machine; of a multicast feed: where the group is joined."""
    multicast: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can send to it."""
        return not self.multicast and ipaddress.ip_address(self.interface).is_loopback

    def __str__(self) -> str:
        interface = self.interface.replace(":", r"\:")
        return f"udp:{self.port}:interface={interface}" + (f":multicast={self.multicast}" if self.multicast else "")


def parse_feed(text: str) -> FeedAddress:
    """Without `interface` it is the loopback: everybody who reaches the feed can write market data.

    Colons of an IPv6 address carry a backslash, as in Twisted's endpoint strings. Raises ConfigError, one line.
    """
    scheme, *rest = (part.replace("\\:", ":") for part in re.split(r"(?<!\\):", text))
    if scheme != "udp" or not rest:
        raise ConfigError(f"feed address {quoted(text)}, expected {_EXPECTED}")
    port, *options = rest
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise ConfigError(f"feed address {quoted(text)}: port is {quoted(port)}, expected 0 to 65535")
    found: dict[str, str] = {}
    for option in options:
        name, is_set, value = option.partition("=")
        if name not in ("interface", "multicast") or not is_set or name in found:
            raise ConfigError(f"feed address {quoted(text)}: option {quoted(option)}, expected {_EXPECTED}")
        found[name] = _ip(text, name, value)
    address = FeedAddress(int(port), **found)
    if address.multicast:
        group, interface = ipaddress.ip_address(address.multicast), ipaddress.ip_address(address.interface)
        if group.version != 4 or not group.is_multicast or interface.version != 4:
            raise ConfigError(f"feed address {quoted(text)}: multicast takes an IPv4 group and interface")
    return address


def _ip(text: str, name: str, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ConfigError(f"feed address {quoted(text)}: {name} is {quoted(value)}, expected an IP address") from None


class HostPort(NamedTuple):
    """An address to send to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_rerequest(text: str) -> HostPort:
    """`HOST:PORT`, `[::1]:PORT`. Raises ConfigError, one line."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if found is None or not 1 <= int(found[3]) <= 65_535:
        raise ConfigError(f"re-request address {quoted(text)}, expected HOST:PORT")
    return HostPort(found[1] or found[2], int(found[3]))


class Sources:
    """The addresses that a feed is heard from."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Of addresses and networks, `10.0.0.7` and `10.0.0.0/24`. Raises ConfigError."""
        try:
            self._networks = [ipaddress.ip_network(network) for network in networks]
        except ValueError as error:
            raise ConfigError(f"feed.sources: {error}, expected an IP address or network") from None
        self._known: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        """Whether one of them is this address, as a socket of ours tells it."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _KNOWN_SOURCES:
                self._known.clear()
            known = self._known[host] = self._has(host)
        return known

    def _has(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or ipaddress.IPv6Address(host.partition("%")[0])
        return any(address in network for network in self._networks)


class Gatherer(DatagramProtocol):
    """What a FeedPort reads to: datagrams one by one, then `settle`, once a turn of the reactor."""

    def gather(self, datagram: bytes, addr: Any) -> None: ...

    def settle(self) -> None: ...


class FeedPort(Port):
    """A UDP port that yields after a bounded number of datagrams, and that can listen to a multicast group."""

    def __init__(self, address: FeedAddress, protocol: Gatherer, reactor: Any) -> None:
        # Bound to the group itself, so that it hears no other group that somebody joined on this port.
        super().__init__(address.port, protocol, address.multicast or address.interface, PACKET_BYTES, reactor=reactor)
        self._address = address

    def startListening(self) -> None:
        """Raises CannotListenError."""
        try:
            super().startListening()
        except CannotListenError:
            self._skt.close()  # Twisted leaves it to the garbage collector
            raise

    def createInternetSocket(self) -> socket.socket:
        self._skt = skt = super().createInternetSocket()
        group, interface = self._address.multicast, self._address.interface
        if group:
            membership = socket.inet_aton(group) + socket.inet_aton(interface)
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            skt.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        return skt

    def doRead(self) -> None:
        read_bytes = 0
        gather = self.protocol.gather
        for _ in range(_TURN_DATAGRAMS):
            try:
                datagram, peer = self.socket.recvfrom(PACKET_BYTES)
            except OSError:
                break  # nothing more, or an ICMP answer to somebody's datagram, which is none of ours
            gather(datagram, peer)
            read_bytes += len(datagram)
            if read_bytes >= _TURN_BYTES:
                break
        self.protocol.settle()


def ask_for_buffer(skt: socket.socket) -> int:
    """Asks the kernel for RECEIVE_BUFFER_BYTES; the bytes that it granted."""
    try:
        skt.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:  # not privileged: what net.core.rmem_max allows
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    # Linux tells twice what it grants, the other half being for its own bookkeeping.
    return skt.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(fd: int) -> int:
    """Datagrams that the kernel dropped at this UDP socket; 0 where it does not tell (not Linux)."""
    inode = str(os.fstat(fd).st_ino)
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table, encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 12 and fields[9] == inode:
                        return int(fields[12])
        except OSError:
            continue
    return 0
