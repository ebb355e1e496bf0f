"""setup.cfg names every package: one that it leaves out is missing from the wheel, and from nowhere else."""

from configparser import ConfigParser

from tests.docs.documents import ROOT


def test_every_package_is_named() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "exchange_push").rglob("__init__.py")}

    named = set(setup["options"]["packages"].split()) - {"twisted.plugins"}  # a folder without an __init__.py, always
    assert named == {".".join(folder.parts) for folder in folders}
