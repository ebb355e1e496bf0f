"""The server, a market, and the clients, for a minute in which things go wrong.

`python -m tests.clients.world PYTHON FOLDER MARKET…`, with the PYTHON of the clients; a MARKET is `demo` or `capture`,
one after the other. What happened is written to FOLDER/MARKET, a line of JSON each, with the time: what the engine told
in engine.jsonl, what the clients said of it in clients.jsonl; and what the server said of mark prices in its own
protocol in native.jsonl. The server hears the engine through `Relay`, each client hears the server through a `Proxy` of
its own.
"""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import DatagramProtocol, ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from exchange_push.demo.auth import TOKENS
from exchange_push.demo.engine import Engine
from exchange_push.demo.replay import Recorded, Replay, read
from exchange_push.wire.packet import decode
from tests.clients.guard import alone, guarded, raise_loopback
from tests.clients.proxy import LOOPBACK, Proxy
from tests.clients.tls import self_signed
from tests.end_to_end.running import Running
from tests.wsclient import WsClient

PROGRAMS = Path(__file__).parent / "programs"
NAMES = ("ccxt_spot", "ccxt_futures", "python_binance", "binance_sdk", "unicorn", "cryptofeed_spot")
WITH_TLS = ("cryptofeed_spot",)
"""These take nothing else."""
BASES = {"demo": "BTC", "capture": "CTK"}
"""What the clients watch, in USDT: of the capture, what was traded most that has less levels than clients ask for."""
CAPTURE = Path(__file__).parents[1] / "data" / "binance-futures.jsonl.gz"
CALM_MS = 4_000
"""So much of the capture is played, slowly and without its trades, while the clients start."""

START_S = 60
"""How long the clients may take for their first book: Python, imports, all of them at once on a small machine."""
STEADY_S = 13
"""Between one thing that goes wrong and the next: unicorn asks for no book within 5 s of the last, and a symbol's
snapshot comes every 5 s.
"""


class Relay(DatagramProtocol):
    """Hands the engine's packets on to the server and puts them on record, also the one that it loses."""

    def __init__(self, server: tuple[str, int], symbol: str, record: Callable[..., None]) -> None:
        self.lost: list[list[Any]] = []
        self._losing = False
        self._symbol = symbol
        self._session = 0
        self._server = server
        self._record = record

    def lose(self) -> None:
        """The next packet with changes of the book and nothing else of the symbol's: no trade shall be lost."""
        self._losing = True

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        packet = decode(datagram)
        if packet.session > self._session:
            self._session = packet.session
            self._record(session=packet.session)
        events: list[Any] = list(packet.events or [])
        for event in events:
            self._record(event=event)
        kinds = {event[0] for event in events}
        if self._losing and kinds == {"depth"} and any(event[1] == self._symbol for event in events):
            self._losing = False
            self.lost.append(events)
        else:
            assert self.transport is not None
            self.transport.write(datagram, self._server)  # type: ignore[attr-defined]


class Client(ProcessProtocol):
    """A program with a client: what it says, line by line."""

    def __init__(self, say: Callable[[dict[str, Any]], None], errors: IO[bytes]) -> None:
        self.books = 0
        self.over: Deferred[None] = Deferred()
        self._say = say
        self._errors = errors
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.books += said["kind"] == "book"
            self._say(said)

    def errReceived(self, data: bytes) -> None:
        self._errors.write(data)

    def processEnded(self, reason: Failure) -> None:
        self._say({"kind": "ended", "how": str(reason.value)})
        self._errors.close()
        self.over.callback(None)


class World:
    """All of it, on ports that the kernel picks."""

    def __init__(self, reactor: Any, folder: Path, base: str) -> None:
        self.symbol = f"{base}USDT"
        self._base = base
        self._reactor = reactor
        self._folder = folder
        self._engine_record = (folder / "engine.jsonl").open("w")
        self._clients_record = (folder / "clients.jsonl").open("w")
        self.running = Running(store=str(folder / "store.sqlite"))
        self.running.backend.answers |= {token: {"uid": uid} for token, uid in TOKENS.items()}
        self.running.start()
        self.relay = Relay((LOOPBACK, self.running.feed_port), self.symbol, partial(self._write, self._engine_record))
        self._relay_port = reactor.listenUDP(0, self.relay, interface=LOOPBACK, maxPacketSize=65_536)
        self.relay_address = LOOPBACK, self._relay_port.getHost().port
        self._certificate = folder / "certificate.pem"
        tls = self_signed(LOOPBACK, self._certificate)
        port = self.running.port("listen 1")
        self.proxies = {name: Proxy(reactor, port, tls if name in WITH_TLS else None) for name in NAMES}
        self._clients: dict[str, Client] = {}
        self._native: WsClient | None = None

    def start_clients(self, python: str) -> None:
        for name, proxy in self.proxies.items():
            errors = (self._folder / f"{name}.err").open("wb")
            client = self._clients[name] = Client(partial(self._tell_client, name), errors)
            arguments = [self._base, *proxy.hosts, *([str(self._certificate)] if name in WITH_TLS else [])]
            command = [python, "-u", *guarded([str(PROGRAMS / f"{name}.py"), *arguments])]
            self._reactor.spawnProcess(client, python, command, env=None, path=str(self._folder))

    def late(self) -> list[str]:
        """Clients without a book."""
        return [name for name, client in self._clients.items() if not client.books]

    async def wait(self, seconds: float, condition: Callable[[], bool] = lambda: False) -> None:
        """So long, or until it is so."""
        ends_s = self._reactor.seconds() + seconds
        while self._reactor.seconds() < ends_s and not condition():
            await deferLater(self._reactor, 0.02)

    def lose_a_message(self) -> None:
        """Of each client's, with changes of the book."""
        self.mark("gap")
        for proxy in self.proxies.values():
            proxy.lose(b'"e":"depthUpdate"', f'"s":"{self.symbol}"'.encode())

    def mark(self, what: str, **fields: Any) -> None:
        """Put on record what we did, and how often each client asked for a book up to then."""
        snapshots = {name: proxy.snapshots for name, proxy in self.proxies.items()}
        self._write(self._clients_record, kind="mark", what=what, snapshots=snapshots, **fields)

    async def listen(self) -> None:
        """In the server's own protocol."""
        self._native = await self.running.client(f"{self.symbol}@markprice")

    async def stop(self) -> None:
        frames = [] if self._native is None else self._native.frames
        (self._folder / "native.jsonl").write_bytes(b"\n".join(payload for _, payload in frames))
        for client in self._clients.values():
            if not client.over.called:
                client.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await gatherResults([client.over for client in self._clients.values()])
        for proxy in self.proxies.values():
            await proxy.stop()
        await maybeDeferred(self._relay_port.stopListening)
        await self.running.stop()
        self._engine_record.close()
        self._clients_record.close()

    def _tell_client(self, name: str, said: dict[str, Any]) -> None:
        self._write(self._clients_record, client=name, **said)

    def _write(self, file: IO[str], **fields: Any) -> None:
        print(json.dumps({"at": round(self._reactor.seconds(), 3), **fields}), file=file)


async def demo(reactor: Any, world: World, python: str) -> None:
    """A minute of the demo's engine, and what is done to the clients in it."""
    engine = Engine(reactor, [world.relay_address], seed=1)
    engine.startService()
    try:
        await world.listen()
        world.start_clients(python)
        await minute(world)
    finally:
        await engine.stopService()


async def minute(world: World) -> None:
    await world.wait(START_S, lambda: not world.late())
    world.mark("start", late=world.late())
    await world.wait(STEADY_S)

    world.lose_a_message()
    await world.wait(STEADY_S, lambda: all(proxy.lost for proxy in world.proxies.values()))
    await world.wait(STEADY_S)

    world.mark("feed gap")
    world.relay.lose()
    await world.wait(STEADY_S, lambda: bool(world.relay.lost))
    await world.wait(STEADY_S)

    world.mark("kick", kicked={name: proxy.kick() for name, proxy in world.proxies.items()})
    await world.wait(STEADY_S)

    answers = [await world.running.push({}, path=f"/v1/users/{uid}/disconnect") for uid in TOKENS.values()]
    world.mark("disconnect", answers=answers)
    await world.wait(STEADY_S)
    lost = {name: len(proxy.lost) for name, proxy in world.proxies.items()}
    world.mark("end", lost=lost, lost_of_feed=len(world.relay.lost))


async def capture(reactor: Any, world: World, python: str) -> None:
    """The capture, played as `exchange-push-replay` does once all clients are there: each play is a newer session."""
    port = reactor.listenUDP(0, DatagramProtocol(), interface=LOOPBACK)
    sessions = count(1)

    def play(recorded: Iterable[Recorded], speed: float) -> Deferred[Any]:
        replay = Replay(
            reactor,
            recorded,
            lambda datagram: port.write(datagram, world.relay_address),
            session=next(sessions),
            speed=speed,
        )
        return Deferred.fromCoroutine(replay.run())

    recorded = list(read(CAPTURE))
    begin_ms = max(each.at_ms for each in recorded if each.event[0] == "book")
    calm = [
        each._replace(at_ms=max(each.at_ms, begin_ms))
        for each in recorded
        if each.at_ms < begin_ms + CALM_MS and each.event[0] != "trade"
    ]
    try:
        playing = play(calm, speed=0.1)
        await world.wait(1)  # for the books: clients ask for the symbols as soon as they are there
        world.start_clients(python)
        await world.wait(START_S, lambda: not world.late() or playing.called)
        playing.cancel()
        with suppress(CancelledError):
            await playing
        world.mark("start", late=world.late())
        playing = play(recorded, speed=1)
        await world.wait(8)
        world.lose_a_message()
        await world.wait(8)
        world.mark("kick", kicked={name: proxy.kick() for name, proxy in world.proxies.items()})
        await playing
        await world.wait(1)
        world.mark("end", lost={name: len(proxy.lost) for name, proxy in world.proxies.items()})
    finally:
        await maybeDeferred(port.stopListening)


async def main(reactor: Any, python: str, folder: str, *markets: str) -> None:
    if alone():
        raise_loopback()
    for market in markets:
        into = Path(folder) / market
        into.mkdir()
        world = World(reactor, into, BASES[market])
        try:
            await MARKETS[market](reactor, world, python)
        finally:
            await world.stop()


MARKETS = {"demo": demo, "capture": capture}


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
