"""Prints the documents: `python -m exchange_push.schema asyncapi`, or `openapi`."""

import sys
from collections.abc import Callable
from typing import Final

from exchange_push.config import Config
from exchange_push.schema.asyncapi import asyncapi
from exchange_push.schema.openapi import openapi
from exchange_push.schema.parts import Schema, as_text

_DOCUMENTS: Final[dict[str, Callable[[Config], Schema]]] = {"asyncapi": asyncapi, "openapi": openapi}


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in _DOCUMENTS:
        raise SystemExit(f"usage: python -m exchange_push.schema {'|'.join(_DOCUMENTS)}")
    sys.stdout.buffer.write(as_text(_DOCUMENTS[arguments[0]](Config())) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
