"""JSON Schema of our types, as both documents have it."""

from collections.abc import Iterable
from importlib.metadata import version
from inspect import cleandoc
from typing import Any, Final, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]

LICENSE: Final = {"name": "MIT", "identifier": "MIT"}


def described(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and by name those that they refer to."""
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return [_tidy(schema) for schema in schemas], {name: _tidy(schema) for name, schema in components.items()}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def as_text(document: Schema) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def our_version() -> str:
    return version("exchange-push")


def _tidy(found: Any) -> Any:
    """Without what only some versions of JSON Schema know: pairs are arrays of two alike, and no union has a key. What
    is a Decimal goes out as a number."""
    if isinstance(found, list):
        return [_tidy(each) for each in found]
    if not isinstance(found, dict):
        return found
    found = {key: _tidy(value) for key, value in found.items() if key != "discriminator"}
    if isinstance(found.get("description"), str):
        found["description"] = cleandoc(found["description"])
    if found.get("format") == "decimal":
        found["type"] = "number"
    items = found.get("prefixItems")
    if items and all(item == items[0] for item in items):
        found["items"] = found.pop("prefixItems")[0]
    return found
