"""Brings the chart library of the page from npm: one file, pinned and checked, beside its licence and its notice.

Run by make and by the build of a wheel. Without npm the page has no chart library, and says so.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "lightweight-charts@5.2.1"
SHA512: Final = (
    "0bbea4d3257d32c7c8e361fa854ed05ee86dba3f7fd4e2ce10451f211a6a954e"
    "6eea9f19ace6313854249f74e5702f095ae53a31a7f8c94ac370081c1a348e54"
)
FOLDER: Final = Path(__file__).resolve().parent.parent / "exchange_push" / "web" / "chart"
FILE: Final = FOLDER / "lightweight-charts.js"
_MEMBER: Final = "package/dist/lightweight-charts.standalone.production.js"
_LICENCE: Final = "package/LICENSE"
# The package does not carry the notice that its licence wants to be passed on: what it says stands in the file's head.
_NOTICE: Final = """TradingView Lightweight Charts(TM)
Copyright (c) 2026 TradingView, Inc. https://www.tradingview.com/
"""
_PATIENCE_S: Final = 120


class NoChart(Exception):
    """Why there is none; one line."""


def bring(npm: str | None) -> str:
    """Puts the files in place where they are not yet; says what it did. Raises NoChart."""
    if FILE.exists() and _right(FILE.read_bytes()):
        return "is there"
    if npm is None:
        raise NoChart("npm is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            subprocess.run(
                [npm, "pack", PACKAGE, "--silent", "--pack-destination", scratch],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise NoChart(f"npm pack {PACKAGE} failed: {type(error).__name__}") from None
        [archive] = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as files:
            library, licence = _read(files, _MEMBER), _read(files, _LICENCE)
    if not _right(library):
        raise NoChart(f"{PACKAGE} from npm is not the file that was checked: its SHA-512 is another")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "LICENSE").write_bytes(licence)
    (FOLDER / "NOTICE").write_text(_NOTICE, encoding="utf-8")
    FILE.with_suffix(".part").write_bytes(library)
    FILE.with_suffix(".part").replace(FILE)
    return "came from npm"


def _read(files: tarfile.TarFile, name: str) -> bytes:
    try:
        member = files.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise NoChart(f"{PACKAGE} from npm has no {name}")
    return member.read()


def _right(library: bytes) -> bool:
    return hashlib.sha512(library).hexdigest() == SHA512


def say() -> None:
    """Bring it, or say in one line why the page will have no chart."""
    try:
        print(f"chart: {PACKAGE} {bring(shutil.which('npm'))}", file=sys.stderr)
    except NoChart as why:
        print(f"chart: the page will have none, since {why}", file=sys.stderr)


if __name__ == "__main__":
    say()
