"""The rules of the house about who may import whom, as pyproject.toml has them."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

_TOP = Path(__file__).parent.parent


def test_imports_point_one_way_and_pure_rooms_stay_pure() -> None:
    # A process of its own: import-linter cannot look at a tree in which a reactor runs.
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=_TOP, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_a_wheel_has_every_package() -> None:
    setup = ConfigParser()
    setup.read(_TOP / "setup.cfg")
    folders = {file.parent.relative_to(_TOP) for file in (_TOP / "exchange_push").rglob("__init__.py")}

    listed = setup["options"]["packages"].split()
    assert listed == [*sorted(".".join(folder.parts) for folder in folders), "twisted.plugins"]
