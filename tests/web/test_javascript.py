"""The JavaScript of the page and of clients, tested by node itself. CI has node; so has who changes these files."""

import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
_PATIENCE_S = 120


def test_the_javascript_tests_pass() -> None:
    node = shutil.which("node")
    assert node is not None, "no node on this machine: install Node.js 20 or later"
    files = sorted(str(file) for file in FOLDER.glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
