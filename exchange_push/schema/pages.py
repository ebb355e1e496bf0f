"""The documents as pages of the public port."""

from collections.abc import Callable, Mapping
from functools import cache

import msgspec

from exchange_push.config import Config
from exchange_push.edge.pages import Answer, Reply
from exchange_push.schema.asyncapi import asyncapi
from exchange_push.schema.openapi import openapi
from exchange_push.schema.parts import Schema


def schema_pages(config: Config) -> Mapping[bytes, Answer]:
    """`/asyncapi.json` and `/openapi.json`; each is made when it is first asked for."""
    return {b"/asyncapi.json": _page(asyncapi, config), b"/openapi.json": _page(openapi, config)}


def _page(make: Callable[[Config], Schema], config: Config) -> Answer:
    made = cache(lambda: Reply(msgspec.json.encode(make(config))))
    return lambda asked: made()
