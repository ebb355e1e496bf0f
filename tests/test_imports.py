"""The rules of the house about who may import whom, as pyproject.toml has them."""

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_imports_point_one_way_and_pure_rooms_stay_pure() -> None:
    config = Path(__file__).parent.parent / "pyproject.toml"

    assert lint_imports(config_filename=str(config), no_cache=True) == EXIT_STATUS_SUCCESS
