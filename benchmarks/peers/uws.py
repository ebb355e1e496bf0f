"""uWebSockets, in C++, by socketify."""

import asyncio
import sys

from socketify import App, CompressOptions, OpCode


def main(port: int) -> None:
    app = App()

    def message(ws, message, opcode):
        ws.subscribe("bench")
        ws.send('{"result":true}', OpCode.TEXT)

    async def lines(reader, writer):
        while line := await reader.readline():
            app.publish("bench", line[:-1].decode(), OpCode.TEXT)

    async def listen():
        return await asyncio.start_server(lines, "127.0.0.1", port + 1)

    options = {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 1 << 20,
        "idle_timeout": 120,
        "max_backpressure": 64 << 20,
        "message": message,
    }
    app.ws("/*", options)
    app.listen({"port": port, "host": "127.0.0.1"}, lambda config: None)
    app.loop.loop.create_task(listen())
    app.run()


main(int(sys.argv[1]))
