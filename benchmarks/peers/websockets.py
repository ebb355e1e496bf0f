"""The package `websockets`, with its own broadcast()."""

import asyncio
import sys


async def main(port: int) -> None:
    from websockets.asyncio.server import broadcast, serve

    subscribed = set()

    async def handler(ws):
        async for _ in ws:
            subscribed.add(ws)
            await ws.send('{"result":true}')
        subscribed.discard(ws)

    async def lines(reader, writer):
        while line := await reader.readline():
            broadcast(subscribed, line[:-1].decode())

    async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        await asyncio.start_server(lines, "127.0.0.1", port + 1)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    # The folder of this file would hide the package of the same name.
    sys.path.pop(0)
    asyncio.run(main(int(sys.argv[1])))
