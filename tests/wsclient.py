"""A client for the tests: a plain TCP connection that speaks WebSocket by hand, so that it can misbehave."""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

_PATIENCE_S = 10


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame; the mask is zeros, which is as good a mask as any."""
    head = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


class RawClient(Protocol):
    """Bytes in, bytes out; `until` waits for what the server sends."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._look()

    def _look(self) -> None:
        for item in self._waiting[:]:
            condition, deferred = item
            if condition():
                self._waiting.remove(item)
                deferred.callback(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        from twisted.internet import reactor

        if condition():
            return
        deferred: Deferred[None] = Deferred()
        self._waiting.append((condition, deferred))
        deferred.addTimeout(_PATIENCE_S, reactor)  # type: ignore[arg-type]
        await deferred

    async def gone(self) -> None:
        await self.until(lambda: self.lost is not None)

    async def leave(self) -> None:
        self.transport.abortConnection()
        await self.gone()


class WsClient(RawClient):
    """A WebSocket client after its handshake."""

    closed: tuple[int, str] | None = None
    answers_close = True
    answers_ping = True

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[int, bytes]] = []
        self.head: bytes | None = None

    def _look(self) -> None:
        if self.head is None:
            head, end, rest = self.data.partition(b"\r\n\r\n")
            if end:
                self.head, self.data = head, rest
        if self.head is not None and self.head.startswith(b"HTTP/1.1 101"):
            while (frame := self._frame()) is not None:
                self._take(*frame)
        super()._look()

    def _frame(self) -> tuple[int, bytes] | None:
        data = self.data
        if len(data) < 2:
            return None
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at + size:
            return None
        self.data = data[at + size :]
        return data[0] & 0x0F, data[at : at + size]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 8:
            self.closed = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            if self.answers_close:
                self.transport.write(masked(8, payload))
        elif opcode == 9:
            if self.answers_ping:
                self.transport.write(masked(10, payload))
        else:
            self.frames.append((opcode, payload))

    def send(self, message: object) -> None:
        if isinstance(message, bytes):
            self.transport.write(masked(1, message))
        else:
            self.transport.write(masked(1, json.dumps(message).encode()))

    async def raw(self) -> tuple[int, bytes]:
        """The next frame as (opcode, payload)."""
        await self.until(lambda: bool(self.frames) or self.lost is not None)
        return self.frames.pop(0)

    async def next(self) -> Any:
        opcode, payload = await self.raw()
        assert opcode == 1
        return json.loads(payload)

    async def ask(self, message: object) -> Any:
        self.send(message)
        return await self.next()

    async def event(self, name: str) -> Any:
        """The data of the next event of this channel; others are passed over."""
        while True:
            message = await self.next()
            if message.get("event") == name:
                return message["data"]

    async def close_code(self) -> int:
        await self.until(lambda: self.closed is not None or self.lost is not None)
        assert self.closed is not None, "the connection was lost without a close"
        return self.closed[0]


async def connect_raw(port: int, host: str = "127.0.0.1") -> RawClient:
    from twisted.internet import reactor

    return await connectProtocol(HostnameEndpoint(reactor, host, port), RawClient())  # type: ignore[arg-type]


def handshake(path: str, headers: dict[str, str]) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1")


async def connect(
    port: int, path: str = "/exchange-stream", headers: dict[str, str] | None = None, client: WsClient | None = None
) -> WsClient:
    """Connect and shake hands; `head` holds the server's answer, whatever it is."""
    from twisted.internet import reactor

    client = client or WsClient()
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), client)  # type: ignore[arg-type]
    client.transport.write(handshake(path, headers or {}))
    await client.until(lambda: client.head is not None or client.lost is not None)
    return client
