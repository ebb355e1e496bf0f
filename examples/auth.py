"""An auth service, as small as it gets: who is the bearer of a token? Standard library only.

python examples/auth.py [--port N] [--token TOKEN=UID …]
"""

import argparse
import contextlib
import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Login(BaseHTTPRequestHandler):
    """POST {"token":"alice"} is answered 200 and {"uid":1001}, a token that is not known 401."""

    uids: dict[str, int]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        uid = self.uids.get(asked["token"])
        answer = json.dumps({"uid": uid}).encode()
        self.send_response(401 if uid is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main() -> None:
    options = argparse.ArgumentParser(description="Say which uid belongs to a token.")
    options.add_argument("--port", type=int, default=8000, help="on 127.0.0.1")
    options.add_argument("--token", nargs="+", default=["alice=1001", "bob=1002"], metavar="TOKEN=UID")
    args = options.parse_args()
    Login.uids = {token: int(uid) for token, _, uid in (text.partition("=") for text in args.token)}
    server = HTTPServer(("127.0.0.1", args.port), Login)
    print(f"http://127.0.0.1:{server.server_port}/websocket_auth", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
