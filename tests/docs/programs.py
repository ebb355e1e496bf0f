"""Runs a Python program of the documentation against a server of this process."""

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.docs.documents import ROOT

_PATIENCE_S = 30  # a machine under load takes seconds to start Python


class Program(ProcessProtocol):
    """A program that has been started; `ended` gives its exit status."""

    def __init__(self) -> None:
        self.text = ""
        self.ended: Deferred[int] = Deferred()
        self._waiting: list[tuple[str, Deferred[None]]] = []

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.text += data.decode()
        for item in [item for item in self._waiting if item[0] in self.text]:
            self._waiting.remove(item)
            item[1].callback(None)

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(getattr(reason.value, "exitCode", None) or 0)

    async def says(self, text: str) -> None:
        """Wait until it has written this."""
        from twisted.internet import reactor

        if text not in self.text:
            said: Deferred[None] = Deferred()
            self._waiting.append((text, said))
            await said.addTimeout(_PATIENCE_S, reactor)  # type: ignore[arg-type]

    async def end(self) -> None:
        transport: Any = self.transport
        transport.signalProcess("KILL")
        await self.ended


def start(file: Path, *arguments: str) -> Program:
    from twisted.internet import reactor

    program = Program()
    command = [sys.executable, "-u", str(file), *arguments]
    reactor.spawnProcess(program, command[0], command, env=None, path=str(ROOT))  # type: ignore[attr-defined]
    return program


async def run(file: Path, *arguments: str) -> str:
    """What it wrote. It must end by itself, with status 0."""
    from twisted.internet import reactor

    program = start(file, *arguments)
    status = await program.ended.addTimeout(_PATIENCE_S, reactor)  # type: ignore[arg-type]
    assert status == 0, program.text
    return program.text
