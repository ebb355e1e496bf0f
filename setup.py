"""What setup.cfg cannot say: the chart library is brought before the package's files are gathered."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    def run(self) -> None:
        runpy.run_path(str(Path(__file__).resolve().parent / "tools" / "chart.py"))["say"]()
        self.__dict__.pop("data_files", None)  # looked up before the chart was there
        super().run()


setup(cmdclass={"build_py": BuildPy})
