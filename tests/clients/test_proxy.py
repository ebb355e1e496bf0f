"""The proxy between a client and the server passes on what there is, and loses what it is told to."""

import json
import zlib
from itertools import pairwise

import pytest
import pytest_twisted
import treq
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor

from tests.clients.proxy import Proxy, message, whole_frames
from tests.end_to_end.conftest import Start, start
from tests.wsclient import connect

__all__ = ["start"]


def frame(payload: bytes, *, deflated: bool = False) -> bytes:
    """A server's."""
    size = len(payload)
    head = bytes([0xC1 if deflated else 0x81])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65536:
        return head + bytes([126]) + size.to_bytes(2, "big") + payload
    return head + bytes([127]) + size.to_bytes(8, "big") + payload


@given(
    payloads=st.lists(st.sampled_from([0, 1, 125, 126, 65535, 65536]).map(lambda size: b"x" * size), max_size=4),
    cuts=st.lists(st.integers(0, 200_000), max_size=5),
)
def test_frames_are_found_however_the_bytes_come(payloads: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(map(frame, payloads))
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    buffer, found = bytearray(), []
    for begin, end in pairwise(places):
        buffer += sent[begin:end]
        found += whole_frames(buffer)

    assert [message(one) for one in found] == payloads
    assert not buffer


@given(st.binary(max_size=300))
def test_a_compressed_message_is_read(payload: bytes) -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")

    assert message(frame(deflated, deflated=True)) == payload


@pytest_twisted.ensureDeferred
async def test_it_loses_the_one_message_that_it_is_told_to_and_no_other(start: Start) -> None:
    running = start()
    proxy = Proxy(reactor, running.port("listen 1"))
    client = await connect(int(proxy.hosts[0].partition(":")[2]))
    await client.ask({"op": "subscribe", "channel": "@balance"})
    await client.ask({"op": "auth", "token": "***"})
    await client.ask({"op": "subscribe", "channel": "@balance"})
    proxy.lose(b'"@balance"', b"2")
    for number in ("1", "2", "2", "3"):
        await running.push({"c": "1001@balance", "d": {"n": number}})

    heard = [(await client.event("@balance"))["n"] for _ in range(3)]
    assert heard == ["1", "2", "3"]
    assert [json.loads(lost)["data"]["n"] for lost in proxy.lost] == ["2"]
    assert proxy.kick() == 1
    await client.until(lambda: client.lost is not None)
    await proxy.stop()


@pytest.mark.parametrize("path", ["/api/v3/depth?symbol=BTCUSDT", "/v1/symbols"])
@pytest_twisted.ensureDeferred
async def test_it_passes_http_on_and_counts_requests_for_a_book(start: Start, path: str) -> None:
    running = start()
    proxy = Proxy(reactor, running.port("listen 1"))
    for expected in (1, 2):
        response = await treq.get(f"http://{proxy.hosts[0]}{path}", persistent=False)
        await response.content()
        assert response.code < 500
        assert proxy.snapshots == ("/depth?" in path) * expected
    await proxy.stop()
