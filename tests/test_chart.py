"""tools/chart.py, with a pretended npm."""

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.documents import ROOT


@pytest.fixture
def chart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart", ROOT / "tools" / "chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path / "chart")
    monkeypatch.setattr(module, "FILE", tmp_path / "chart" / "lightweight-charts.js")
    return module


def npm(folder: Path, library: bytes | None) -> str:
    """A program that packs what we say; None: one that fails."""
    program = folder / "npm"
    if library is None:
        program.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    else:
        with tarfile.open(folder / "packed.tgz", "w:gz") as files:
            for name, data in (("dist/lightweight-charts.standalone.production.js", library), ("LICENSE", b"Apache")):
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(data)
                files.addfile(member, io.BytesIO(data))
        program.write_text(f'#!/bin/sh\ncp "{folder}/packed.tgz" "$5/it.tgz"\n')
    program.chmod(0o755)
    return str(program)


def test_what_comes_from_npm_is_checked(chart: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(chart.NoChart, match="its SHA-512 is another"):
        chart.bring(npm(tmp_path, b"not the library"))
    assert not chart.FOLDER.exists()

    monkeypatch.setattr(chart, "_right", lambda library: library == b"the library")
    assert chart.bring(npm(tmp_path, b"the library")) == "came from npm"
    assert {path.name: path.read_bytes()[:6] for path in chart.FOLDER.iterdir()} == {
        "lightweight-charts.js": b"the li",
        "LICENSE": b"Apache",
        "NOTICE": b"Tradin",
    }
    assert chart.bring(None) == "is there"


@pytest.mark.parametrize(("found", "why"), [(None, "npm is not installed"), ("fails", "npm pack .* failed")])
def test_without_npm_it_says_why_in_one_line(
    chart: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    found: str | None,
    why: str,
) -> None:
    program = None if found is None else npm(tmp_path, None)
    with pytest.raises(chart.NoChart, match=why):
        chart.bring(program)

    monkeypatch.setattr(chart.shutil, "which", lambda name: program)
    chart.say()
    said = capsys.readouterr().err
    assert said.startswith("chart: the page will have none, since ")
    assert said.count("\n") == 1
