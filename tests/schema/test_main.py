"""The command that prints the documents."""

import json
import subprocess
import sys

import pytest

from exchange_push.config import Config
from exchange_push.schema.asyncapi import asyncapi
from exchange_push.schema.openapi import openapi


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "exchange_push.schema", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(("name", "make"), [("asyncapi", asyncapi), ("openapi", openapi)])
def test_it_prints_the_document_that_was_asked_for(name: str, make: object) -> None:
    assert callable(make)
    done = run(name)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(json.dumps(make(Config())))


@pytest.mark.parametrize("arguments", [(), ("swagger",), ("asyncapi", "openapi")])
def test_it_says_what_it_can_print(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)

    assert done.returncode == 1
    assert done.stderr == "usage: python -m exchange_push.schema asyncapi|openapi\n"
