"""What checks messages against our documents."""

from functools import cache
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from exchange_push.config import Config
from exchange_push.schema.asyncapi import asyncapi
from exchange_push.schema.openapi import openapi


def resolved(document: Any, pointer: str) -> Any:
    """What a `#/…` of the document leads to."""
    assert pointer.startswith("#/"), pointer
    found = document
    for part in pointer[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def references(found: Any) -> list[str]:
    """All references in a document."""
    if isinstance(found, list):
        return [pointer for each in found for pointer in references(each)]
    if isinstance(found, dict):
        own = [found["$ref"]] if isinstance(found.get("$ref"), str) else []
        return own + [pointer for each in found.values() for pointer in references(each)]
    return []


@cache
def of_messages(name: str) -> Validator:
    """By a schema of the AsyncAPI document, whose schemas are of draft 7 where nothing else is said."""
    registry = Registry().with_resource("urn:doc", Resource.from_contents(asyncapi(Config()), DRAFT7))  # type: ignore[var-annotated]
    return Draft7Validator({"$ref": f"urn:doc#/components/schemas/{name}"}, registry=registry)


def of_http(document: Any, schema: Any) -> Validator:
    """By a schema in the OpenAPI document."""
    return Draft202012Validator({**schema, "components": document["components"]})


def http() -> Any:
    return openapi(Config())
