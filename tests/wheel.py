"""`make wheel`: run by the Python into which the wheel was installed, it asks the server in there for its page.

    python tests/wheel.py COMMAND [CHART]

CHART: where the checkout has the chart library; if it does, so must the wheel.
"""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, server: subprocess.Popen[bytes]) -> bytes:
    ends_s = time.monotonic() + PATIENCE_S
    while True:
        assert server.poll() is None, f"the server ended with status {server.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > ends_s:
                raise
            time.sleep(0.1)


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
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{public}/"
        page = get(url, server).decode()
        names = re.findall(r'(?:href|src)="(web/[^"]+)"', page)
        sizes = {name: len(get(url + name, server)) for name in names}
    finally:
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
