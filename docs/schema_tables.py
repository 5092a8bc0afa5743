"""The Sphinx directive ``json-schema``: a table for each object of a JSON schema, so that nothing is written twice."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Schema = dict[str, Any]
Row = tuple[str, str, str]
"""A path such as ``groups[].name``, its type, its description."""


def rows(schema: Schema, path: str = "") -> Iterator[Row]:
    """A row for each property, those of nested objects and of the items of arrays included.

    >>> list(rows({"properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "string"}}}}}}))
    [('a', 'array of object', 'may be missing'), ('a[].b', 'string', 'may be missing')]
    """
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}{name}"
        missing = "" if name in schema.get("required", ()) else "may be missing"
        yield here, kind(inner), "; ".join(filter(None, (prose(inner), missing)))
        yield from rows(inner, f"{here}.")
        for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(inner.get(key), dict):
                yield from rows(inner[key], f"{here}{mark}.")


def prose(schema: Schema) -> str:
    """What a schema says of itself: its first paragraph, in reStructuredText.

    >>> prose({"description": chr(10).join(["A number.", "", "Args: of its constructor"])})
    'A number.'
    """
    return str(schema.get("description", "")).partition("\n\n")[0]


def kind(schema: Schema) -> str:
    """The type of a value, in words.

    >>> kind({"type": ["number", "null"], "minimum": 0}), kind({"$ref": "#/$defs/result"}), kind({"const": 2})
    ('number or null, from 0', 'result', '2')
    """
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(map(json.dumps, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(map(kind, schema[several]))
    named = schema.get("type", "object" if "properties" in schema else "anything")
    words = " or ".join([named] if isinstance(named, str) else named)
    if isinstance(schema.get("items"), dict):
        words = words.replace("array", f"array of {kind(schema['items'])}")
    return words + (f", from {schema['minimum']}" if "minimum" in schema else "")


class JsonSchema(SphinxDirective):
    """``.. json-schema:: module.function``, of a function that gives the schema."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The tables."""
        module, _, name = self.arguments[0].rpartition(".")
        imported = importlib.import_module(module)
        self.env.note_dependency(str(imported.__file__))
        schema = getattr(imported, name)()
        lines = [*prose(schema).splitlines(), ""]
        lines += table(schema)
        for title, inner in schema.get("$defs", {}).items():
            lines += [f".. rubric:: {title}", "", *prose(inner).splitlines(), "", *table(inner)]
        found: list[nodes.Node] = self.parse_text_to_nodes(StringList(lines, source=str(imported.__file__)))
        return found


def table(schema: Schema) -> list[str]:
    """A list table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 30 25 45", ""]
    for row in [("field", "type", "what it is"), *rows(schema)]:
        field, type_, text = row
        shown = field if row[0] == "field" and row[1] == "type" else f"``{field}``"
        lines += [f"   * - {shown}", f"     - {type_}", f"     - {text}"]
    return [*lines, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("json-schema", JsonSchema)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
