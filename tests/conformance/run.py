"""Runs the Autobahn WebSocket conformance suite against the server's own protocol class: `make conformance`.

The cases need an echo, so the session here echoes; and they send long and fast, so size, rate and pong limits are
raised by options. Nothing else differs from a real server. The suite comes from PyPI by name and is turned into one for
Python 3 by port.py; gate.py reads the report: 298 OK and 3 informational of 301. `deflate` (sections 12 and 13, which
take a quarter of an hour) asks for compression, and gets its echoes compressed: 216 OK.
"""

import itertools
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_WORK = _HERE.parent.parent / "conformance"
_SUITE = "autobahntestsuite==25.10.1"
_CASES = {
    "core": (["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"], 301),
    "deflate": (["12.*", "13.*"], 216),
}
_CASES["quick"] = ([cases for cases in _CASES["core"][0] if cases != "9.*"], 247)


def serve() -> None:
    """Listen, print the port, and echo until standard input ends."""
    from twisted.internet import reactor as imported
    from twisted.internet.protocol import Protocol
    from twisted.internet.stdio import StandardIO

    from exchange_push import catalog
    from exchange_push.edge.front import Front
    from exchange_push.edge.pages import public_site
    from exchange_push.edge.websocket import ClientFactory, ClientOptions, ClientProtocol, Door
    from exchange_push.errors import CloseCode
    from exchange_push.pubsub.outbox import Budget, Outbox
    from exchange_push.pubsub.publication import Publication
    from exchange_push.pubsub.round import Round
    from exchange_push.wire.dialects.deflated import deflate
    from exchange_push.wire.frame import BINARY, COMPRESSED, TEXT, frame

    reactor: Any = imported
    unlimited = 1 << 40

    class EchoSession:
        def __init__(self, protocol: ClientProtocol) -> None:
            self.outbox = Outbox(unlimited, Budget(unlimited), lambda channel: None)
            self._protocol = protocol

        def open(self, names: object) -> None: ...

        def received(self, payload: bytes, binary: bool) -> None:
            opcode = BINARY if binary else TEXT
            if self._protocol.deflates:
                self.outbox.put(frame(deflate(payload), opcode | COMPRESSED).wire)
            else:
                self.outbox.put(frame(payload, opcode).wire)
            self._protocol.wake()

        def deliver(self, wire: bytes, publication: Publication) -> bool:
            return False  # nothing is published here

        def lost(self) -> None: ...

        def disconnect(self, code: CloseCode, reason: str) -> None:
            self._protocol.close(code, reason)

    class UntilInputEnds(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            reactor.stop()

    options = ClientOptions(
        message_bytes=1 << 26,
        bytes_per_s=unlimited,
        bytes_burst=unlimited,
        frames_per_s=unlimited,
        frames_burst=unlimited,
        pongs_per_s=unlimited,
        pongs_burst=unlimited,
        compression=True,
    )
    clients = ClientFactory(reactor, [Door(catalog.own_path("/"), EchoSession, options)], options, Round())
    front = Front(reactor, web=public_site(reactor, {}, ("*",)), websocket=clients)
    port = reactor.listenTCP(0, front, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    StandardIO(UntilInputEnds())
    reactor.run()


def _suite() -> Path:
    """The suite's own virtual environment, made on the first run."""
    python = _WORK / "venv" / "bin" / "python"
    if not (_WORK / "suite" / "autobahntestsuite").exists():
        venv.create(_WORK / "venv", with_pip=True, clear=True)
        pip = [python, "-m", "pip", "-q"]
        needs = ["autobahn[twisted]>=26.10.1", "pyopenssl", "service_identity", "setuptools<81"]
        subprocess.run([*pip, "install", *needs], check=True)
        subprocess.run(
            [*pip, "download", "--no-deps", "--no-binary", ":all:", _SUITE, "-d", _WORK / "download"], check=True
        )
        (source,) = (_WORK / "download").glob("autobahntestsuite-*.tar.gz")
        subprocess.run([python, _HERE / "port.py", source, _WORK / "suite"], check=True)
    return python


def main(which: str) -> int:
    cases, expected = _CASES[which]
    python = _suite()
    reports = _WORK / f"reports-{which}"
    shutil.rmtree(reports, ignore_errors=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.run", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        url = f"ws://127.0.0.1:{int(server.stdout.readline())}"
        spec = {
            "outdir": str(reports),
            "options": {"failByDrop": False},
            "servers": [{"agent": "exchange-push", "url": url}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        spec_file = _WORK / f"spec-{which}.json"
        spec_file.write_text(json.dumps(spec))
        subprocess.run(
            [python, "-W", "ignore", "-m", "autobahntestsuite.run3", "-m", "fuzzingclient", "-s", spec_file],
            env={"PYTHONPATH": str(_WORK / "suite")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    finally:
        server.stdin.close()
        server.wait(10)
    verdicts = json.loads((reports / "index.json").read_text())["exchange-push"].values()
    for behavior, group in itertools.groupby(sorted(verdict["behavior"] for verdict in verdicts)):
        print(behavior, len(list(group)))
    return subprocess.run([sys.executable, _HERE / "gate.py", reports / "index.json", str(expected)]).returncode


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        sys.exit(main(sys.argv[1] if sys.argv[1:] else "core"))
