"""A real Chromium, headless, driven by its DevTools protocol over our own WebSocket client."""

import base64
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.wsclient import WsClient, connect

_PATIENCE_S = 30  # a machine under load takes seconds to start it
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def executable() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise RuntimeError("no Chromium on this machine: install Debian's package chromium, as .ci/run does")


class _Process(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class Browser:
    """Started once for many tabs."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._process = _Process()
        self._ids = itertools.count(1)
        self._replies: dict[int, Deferred[Any]] = {}
        self._tabs: dict[str, Tab] = {}
        self._socket = _Socket(self._take)

    async def start(self) -> None:
        from twisted.internet import reactor

        command = [executable(), *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        reactor.spawnProcess(self._process, command[0], command, env=None)  # type: ignore[attr-defined]
        file = Path(self._profile) / "DevToolsActivePort"
        ends_s = reactor.seconds() + _PATIENCE_S  # type: ignore[attr-defined]
        while not (file.exists() and file.read_text().count("\n")):
            assert reactor.seconds() < ends_s, "Chromium did not start"  # type: ignore[attr-defined]
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
        port, path = file.read_text().split()
        await connect(int(port), path, client=self._socket)

    async def stop(self) -> None:
        self.call("Browser.close", None)
        await self._process.ended
        await self._socket.gone()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def open(self, url: str, *, width: int = 1440, height: int = 900, theme: str = "dark") -> "Tab":
        """A tab of its own, with storage of its own."""
        context = (await self.call("Target.createBrowserContext", None))["browserContextId"]
        target = await self.call("Target.createTarget", None, url="about:blank", browserContextId=context)
        attached = await self.call("Target.attachToTarget", None, targetId=target["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"], context)
        self._tabs[tab.session] = tab
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.resize(width, height)
        await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await tab.call("Page.navigate", url=url)
        return tab

    async def close(self, tab: "Tab") -> None:
        await self.call("Target.disposeBrowserContext", None, browserContextId=tab.context)

    def call(self, method: str, session: str | None, /, **params: object) -> Deferred[Any]:
        from twisted.internet import reactor

        id = next(self._ids)
        reply = self._replies[id] = Deferred()
        reply.addTimeout(_PATIENCE_S, reactor)  # type: ignore[arg-type]
        self._socket.send({"id": id, "method": method, "params": params, **({"sessionId": session} if session else {})})
        return reply

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            reply = self._replies.pop(message["id"])
            if "error" in message:
                reply.errback(RuntimeError(message["error"]["message"]))
            else:
                reply.callback(message["result"])
        elif message.get("sessionId") in self._tabs:
            self._tabs[message["sessionId"]].take(message["method"], message["params"])


class _Socket(WsClient):
    def __init__(self, take: Any) -> None:
        super().__init__()
        self._receive = take

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            self._receive(msgspec.json.decode(payload))
        else:
            super()._take(opcode, payload)


class Tab:
    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self.session = session
        self.context = context
        self.complaints: list[str] = []
        """What the console says of errors and warnings, and violations of the content policy."""

    def call(self, method: str, **params: object) -> Deferred[Any]:
        return self._browser.call(method, self.session, **params)

    def take(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(arg.get("value", arg)) for arg in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited; `page` is what the page exports."""
        # Not before the page by itself: it would find no chart library.
        loaded = "document.readyState === 'complete' || await new Promise((done) => addEventListener('load', done))"
        page = "const { page } = await import('/web/page.mjs')"
        code = f"(async () => {{ {loaded}; {page}; return {script}; }})()"
        found = await self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until an expression is true, and give it."""
        from twisted.internet import reactor

        ends_s = reactor.seconds() + _PATIENCE_S  # type: ignore[attr-defined]
        while not (found := await self.run(script)):
            assert reactor.seconds() < ends_s, f"it never came true: {script}"  # type: ignore[attr-defined]
            await deferLater(reactor, 0.03)  # type: ignore[arg-type]
        return found

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )

    async def picture(self) -> bytes:
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])
