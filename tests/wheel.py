"""`make wheel`: run by the Python into which the wheel was installed, it asks the server in there for its page.

    python tests/wheel.py COMMAND [CHART]

CHART: where the checkout has the chart library; if it does, so must the wheel.
"""

import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from threading import Timer

PATIENCE_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def wait_until_it_listens(server: "subprocess.Popen[str]") -> None:
    assert server.stdout is not None
    log = []
    for line in server.stdout:
        log.append(line)
        if "listen 1 listens" in line:
            return
    raise AssertionError("the server does not listen:\n" + "".join(log))


def main(command: str, chart: str) -> None:
    public, api, lines, feed = (free_port() for _ in range(4))
    server = subprocess.Popen(
        [
            command,
            f"--listen=tcp:{public}:interface=127.0.0.1",
            f"--api=tcp:{api}:interface=127.0.0.1",
            f"--lines=tcp:{lines}:interface=127.0.0.1",
            f"--feed=udp:{feed}:interface=127.0.0.1",
            "--store=none",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    patience = Timer(PATIENCE_S, server.kill)
    patience.start()
    try:
        wait_until_it_listens(server)
        url = f"http://127.0.0.1:{public}/"
        page = get(url).decode()
        names = re.findall(r'(?:href|src)="(web/[^"]+)"', page)
        sizes = {name: len(get(url + name)) for name in names}
    finally:
        patience.cancel()
        server.terminate()
        server.wait(PATIENCE_S)
    assert len(sizes) > 10, page
    assert all(sizes.values()), sizes
    library = "web/chart/lightweight-charts.js"
    if Path(chart).exists():
        assert sizes[library] == Path(chart).stat().st_size
    else:
        assert library not in sizes
    print(f"the wheel serves its page: {len(sizes)} files, {sum(sizes.values())} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
