"""A server for each test that asks for one."""

from collections.abc import AsyncIterator, Callable

import pytest_twisted

from tests.end_to_end.running import Running

Start = Callable[..., Running]


@pytest_twisted.async_yield_fixture()
async def start() -> AsyncIterator[Start]:
    """Starts a server; keyword arguments are keys of the configuration, `clients__ping_s=1`."""
    servers: list[Running] = []

    def start_one(**flags: object) -> Running:
        running = Running(**flags)
        running.start()
        servers.append(running)
        return running

    yield start_one
    for running in servers:
        await running.stop()
