"""Replays an example of the documentation against a whole server.

A block with the info string `wire` is a conversation. Its lines are `who → what` (somebody speaks to the server) and
`who ← what` (the server speaks to them); lines that begin with a space go on with the line before. Text is compared
byte for byte, `…` stands for anything. Events that no line shows may come in between; an unexpected reply fails.

    engine → event           in one datagram with the engine lines next to it
    client → request         and of a second one: bob
    client ← close 4501 why  the connection is closed
    spot → open /ws          a client of Binance connects; of futures: futures; of the WebSocket API: api
    auth ← body, auth → body what the auth service is asked and answers
    line →, ws →             the TCP push line, the internal WebSocket
    <client_id>, <epoch>     in what is spoken: the first client's, that of the last numbered reply
    <now>                    the time of the server
    http →, public →         GET /path, or POST /path body; ← status body; the internal API, the public port
"""

import json
import re
from typing import Any

import treq

from tests.docs.documents import Block
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running
from tests.wsclient import RawClient, WsClient, connect

CLIENTS = ("client", "bob")
FOREIGN = ("spot", "futures", "api")
SESSION = 1_700_000_000_000  # of the engine; clients see it as epoch


def steps(block: Block) -> list[tuple[str, str, str]]:
    """(who, "→" or "←", what)"""
    found: list[tuple[str, str, str]] = []
    for line in block.text.splitlines():
        if line.startswith(" "):
            who, arrow, what = found[-1]
            found[-1] = (who, arrow, what + line.strip())
        elif line:
            match = re.fullmatch(r"(\w+) ([→←]) (.*)", line)
            assert match is not None, f"{block}: {line!r}"
            found.append((match[1], match[2], match[3]))
    return found


def matches(expected: str, found: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), found, re.DOTALL) is not None


class Replay:
    """One conversation."""

    def __init__(self, running: Running) -> None:
        self._running = running
        running.session = SESSION
        self._clients: dict[str, WsClient] = {}
        self._line: RawClient | None = None
        self._api: WsClient | None = None
        self._answer = ""  # of the last HTTP request
        self._epoch = ""  # of the last numbered reply

    async def run(self, block: Block) -> None:
        script = steps(block)
        self._prepare_auth(script)
        datagram: list[Any] = []
        for number, (who, arrow, what) in enumerate(script):
            if (who, arrow) == ("engine", "→"):
                datagram.append(json.loads(what))
                if number + 1 == len(script) or script[number + 1][0] != "engine":
                    await self._feed(datagram)
                    datagram = []
            elif arrow == "→":
                await self._speak(who, what)
            else:
                await self._hear(who, what)
        if self._api is not None:
            await self._api.leave()

    def _prepare_auth(self, script: list[tuple[str, str, str]]) -> None:
        asked = [json.loads(what)["token"] for who, arrow, what in script if (who, arrow) == ("auth", "←")]
        answers = [what for who, arrow, what in script if (who, arrow) == ("auth", "→")]
        for token, answer in zip(asked, answers, strict=True):
            self._running.backend.answers[token] = json.loads(answer)

    async def _feed(self, events: list[Any]) -> None:
        running = self._running
        running.feed(*events)
        await running.until(lambda: running.server.feed.intake.sequencer.next_seq == running.seq)
        line = running.server.feed.lines[0]
        assert (line.malformed, line.malformed_events, line.unknown_events, line.errors) == (0, 0, 0, 0), events

    async def _speak(self, who: str, what: str) -> None:
        what = what.replace("<client_id>", next(iter(self._running.server.hub.sessions), ""))
        what = what.replace("<epoch>", self._epoch)
        what = what.replace("<now>", str(self._running.server.terms.now_ms()))
        if who in FOREIGN and what.startswith("open "):
            self._clients[who] = await connect(self._running.port("listen 1"), what.removeprefix("open "))
            self._running.callers.append(self._clients[who])
        elif who in (*CLIENTS, *FOREIGN):
            (await self._client(who)).send(what.encode())
        elif who == "line":
            if self._line is None:
                self._line = await self._running.raw("lines")
            self._line.transport.write(what.encode() + b"\n")
        elif who == "ws":
            if self._api is None:
                self._api = await connect(self._running.port("api"), "/ws/v1")
            self._api.send(what.encode())
        elif who in ("http", "public"):
            await self._request("api" if who == "http" else "listen 1", what)
        else:
            assert who == "auth", who

    async def _request(self, port: str, what: str) -> None:
        method, path, body = [*what.split(" ", 2), ""][:3]
        url = f"http://{LOOPBACK}:{self._running.port(port)}{path}"
        response = await treq.request(method, url, data=body.encode(), persistent=False, timeout=PATIENCE_S)
        text = (await response.content()).decode()
        self._answer = f"{response.code} {text}".strip()

    async def _hear(self, who: str, what: str) -> None:
        if who in (*CLIENTS, *FOREIGN):
            client = await self._client(who)
            if what.startswith("close "):
                await client.close_code()
                assert matches(what, "close {} {}".format(*client.closed or ("", "")))
            else:
                await self._message(client, what)
        elif who == "line":
            line = self._line
            assert line is not None
            await line.until(lambda: b"\n" in line.data)
            found, _, line.data = line.data.partition(b"\n")
            _same(what, found.decode())
        elif who == "ws":
            assert self._api is not None
            _same(what, (await self._api.raw())[1].decode())
        elif who in ("http", "public"):
            _same(what, self._answer)
        else:
            assert who == "auth", who
            await self._running.until(lambda: self._running.backend.asked[-1:] == [json.loads(what)["token"]])

    async def _message(self, client: WsClient, what: str) -> None:
        passed_over: list[str] = []
        while True:
            try:
                _, payload = await client.raw()
            except Exception as error:
                raise AssertionError(f"expected {what}\nof\n" + "\n".join(passed_over)) from error
            found = payload.decode()
            if matches(what, found):
                numbered = re.match(r'\{"result":true,"epoch":(\d+)', found)
                self._epoch = numbered[1] if numbered else self._epoch
                return
            passed_over.append(found)
            reply = '"id":' in found if client in map(self._clients.get, FOREIGN) else not found.startswith('{"event"')
            assert not reply, f"found {found}\nexpected {what}"

    async def _client(self, name: str) -> WsClient:
        if name not in self._clients:
            self._clients[name] = await self._running.client()
        return self._clients[name]


def _same(expected: str, found: str) -> None:
    assert matches(expected, found), f"found {found}\nexpected {expected}"
