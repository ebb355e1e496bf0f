"""The clients' time begins with the session and goes by while other tests run: it needs time, and little else."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.clients import guard
from tests.clients.minute import Minute
from tests.clients.world import BASES

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients/bin/python"
PATIENCE_S = 240


class Going:
    """Worlds of clients that have been started, one for each market."""

    def __init__(self, markets: list[str]) -> None:
        self._folder = TemporaryDirectory(prefix="clients")
        self.path = Path(self._folder.name)
        command = guard.inside([sys.executable, "-m", "tests.clients.world", str(PYTHON), str(self.path), *markets])
        with (self.path / "world.err").open("wb") as errors:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=errors, start_new_session=True)

    def minute(self, market: str) -> Minute:
        status = self._process.wait(PATIENCE_S)
        assert status == 0, (self.path / "world.err").read_text()
        return Minute(self.path / market, BASES[market])

    def end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._folder.cleanup()


_GOING = pytest.StashKey[Going]()
_JUDGED = {"minute": "demo", "replayed": "capture"}
"""Fixtures, and the markets of which they tell."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    needed = {item: _JUDGED.keys() & set(getattr(item, "fixturenames", ())) for item in items}
    judges = [item for item in items if needed[item]]
    items[:] = [item for item in items if item not in set(judges)] + judges
    if judges and not config.option.collectonly and PYTHON.exists():
        config.stash[_GOING] = Going(
            [market for name, market in _JUDGED.items() if any(name in needed[item] for item in judges)]
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    if _GOING in config.stash:
        config.stash[_GOING].end()


@pytest.fixture(scope="session")
def minute(pytestconfig: pytest.Config) -> Minute:
    return _minute(pytestconfig, "demo")


@pytest.fixture(scope="session")
def replayed(pytestconfig: pytest.Config) -> Minute:
    return _minute(pytestconfig, "capture")


def _minute(config: pytest.Config, market: str) -> Minute:
    assert _GOING in config.stash, "the clients are not installed: make .venv-clients/.installed"
    return config.stash[_GOING].minute(market)
