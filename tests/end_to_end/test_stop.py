"""A planned stop, as clients and back ends see it."""

from typing import Any

import pytest_twisted
from twisted.internet import reactor as imported_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.task import LoopingCall

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK
from tests.wsclient import WsClient, connect, handshake

reactor: Any = imported_reactor


@pytest_twisted.ensureDeferred
async def test_a_stop_is_told_to_who_listens_and_closes_all_with_1001(start: Start) -> None:
    running = start()
    asked, silent = await running.client("system"), await running.client("BTCUSDT@trades")
    await running.stop_server()

    assert await asked.event("system") == {"type": "shutdown", "inMs": 0}
    for client in (asked, silent):
        assert await client.close_code() == 1001
        assert client.closed == (1001, "server stopping")
    assert silent.frames == []


@pytest_twisted.ensureDeferred
async def test_the_closes_of_many_clients_are_spread_over_three_seconds(start: Start) -> None:
    running = start()
    clients = await running.crowd(1001)
    told = await running.client("system")
    began_s = reactor.seconds()
    closed: list[int] = []

    def look() -> None:
        closed.append(sum(client.closed is not None for client in clients))

    looking = LoopingCall(look)
    done = looking.start(0.5)
    await running.stop_server()
    took_s = reactor.seconds() - began_s
    looking.stop()
    await done

    assert await told.event("system") == {"type": "shutdown", "inMs": 3000}
    assert {client.closed for client in clients} == {(1001, "server stopping")}
    assert 2.5 < took_s < 6
    assert 0 < closed[2] < closed[4] < 1001


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_ends_after_the_stop_began_is_told_so_too(start: Start) -> None:
    running = start()
    late = WsClient()
    await connectProtocol(HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1")), late)
    running.callers.append(late)
    head = handshake("/exchange-stream", {})
    late.transport.write(head[:50])
    holding = await running.client()
    holding.answers_close = False  # so that the stop takes its time
    assert running.server.front.accepted == 2
    stopping = Deferred.fromCoroutine(running.stop_server())
    await holding.close_code()
    late.transport.write(head[50:])

    assert await late.close_code() == 1001
    await holding.leave()
    await stopping


@pytest_twisted.ensureDeferred
async def test_back_ends_get_their_answers_and_then_the_end(start: Start) -> None:
    running = start()
    websocket = await connect(running.port("api"), "/ws/v1")
    running.callers.append(websocket)
    line = await running.raw("lines")
    line.transport.write(b'{"c":"system","d":"x"}\n{"c":')
    await line.until(lambda: b"\n" in line.data)
    assert await websocket.ask({"m": "mesh.publish", "p": {"c": "system", "d": "x"}}) == {
        "E": None,
        "r": {"s": 0, "f": 0},
    }
    began_s = reactor.seconds()
    await running.stop_server()

    assert await websocket.close_code() == 1001
    await line.gone()
    assert line.data == b'{"E":null,"r":{"s":0,"f":0}}\n'
    assert reactor.seconds() - began_s < 2


@pytest_twisted.ensureDeferred
async def test_a_login_under_way_does_not_hold_up_the_stop(start: Start) -> None:
    running = start(auth__timeout_s=100)
    running.backend.hang = True
    client = await running.client()
    client.send({"op": "auth", "token": "***"})
    await running.until(lambda: running.backend.asked == ["***"])
    began_s = reactor.seconds()
    await running.stop_server()

    assert await client.close_code() == 1001
    assert reactor.seconds() - began_s < 2
