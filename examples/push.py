"""A back end that pushes one message to the clients of a channel, over the TCP push line. Standard library only.

python examples/push.py 1001@balance '{"asset":"USDT","balance":"1.23"}' [--to HOST:PORT] [--secret-file FILE]
"""

import argparse
import json
import socket
from pathlib import Path


def ask(lines: socket.SocketIO, request: object) -> dict[str, int]:
    """Send one line, read its answer line, and give the result in it."""
    lines.write(json.dumps(request).encode() + b"\n")
    answer = json.loads(lines.readline())
    if answer["E"] is not None:
        raise SystemExit(f"refused: {answer['E']['c']} {answer['E']['m']}")
    result: dict[str, int] = answer["r"]
    return result


def main() -> None:
    options = argparse.ArgumentParser(description="Push one message to the clients of a channel.")
    options.add_argument("channel", help="1001@balance, BTCUSDT@announcement, …")
    options.add_argument("data", help="an object or array as JSON; clients get it as the data of an event")
    options.add_argument("--to", default="127.0.0.1:6792", help="host:port of the server's push line")
    options.add_argument("--secret-file", type=Path, help="file of the internal secret, where the server has one")
    args = options.parse_args()
    host, _, port = args.to.rpartition(":")

    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = connection.makefile("rwb", buffering=0)
        if args.secret_file is not None:
            ask(lines, {"auth": args.secret_file.read_text().strip()})
        result = ask(lines, {"c": args.channel, "d": json.loads(args.data)})
    print(f"handed to {result['s']}, failed {result['f']}")


if __name__ == "__main__":
    main()
