"""The API's documentation, rendered from its own OpenAPI document: no script, nothing from elsewhere."""

import json
from dataclasses import dataclass
from typing import Any, cast

from apiflask import APIFlask
from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue

blueprint = Blueprint("docs", __name__)


@dataclass(frozen=True)
class Parameter:
    """One parameter or property, in words."""

    name: str
    kind: str
    note: str
    is_required: bool


@dataclass(frozen=True)
class Call:
    """One method of one address."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    body: tuple[Parameter, ...]
    examples: tuple[tuple[str, str], ...]
    responses: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """The calls of one tag."""

    name: str
    calls: tuple[Call, ...]


@blueprint.get("/api/docs")
def show() -> ResponseReturnValue:
    """Show every call of the API."""
    spec: Any = cast(APIFlask, current_app)._get_spec("json")  # the cached document that /api/openapi.json serves
    return render_template("docs/page.html", info=spec["info"], groups=_groups(spec))


def _groups(spec: dict[str, Any]) -> list[Group]:
    by_tag: dict[str, list[Call]] = {}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["Other"])[0]
            by_tag.setdefault(tag, []).append(_call(spec, path, method, operation))
    order = [tag["name"] for tag in spec.get("tags", [])]
    return [Group(name, tuple(by_tag[name])) for name in sorted(by_tag, key=order.index)]


def _call(spec: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Call:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Call(
        anchor=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=tuple(_parameter(spec, given) for given in operation.get("parameters", [])),
        body=_properties(spec, content.get("schema", {})),
        examples=tuple(
            (example["summary"], json.dumps(example["value"], indent=2))
            for example in content.get("examples", {}).values()
        ),
        responses=tuple((status, said.get("description", "")) for status, said in operation["responses"].items()),
    )


def _parameter(spec: dict[str, Any], given: dict[str, Any]) -> Parameter:
    return Parameter(given["name"], _kind(spec, given["schema"]), f"in {given['in']}", given.get("required", False))


def _properties(spec: dict[str, Any], schema: dict[str, Any]) -> tuple[Parameter, ...]:
    """The fields of a body; of a choice of bodies, those of the first."""
    schema = _resolved(spec, schema)
    if "oneOf" in schema or "anyOf" in schema:
        return _properties(spec, (schema.get("oneOf") or schema["anyOf"])[0])
    required = schema.get("required", [])
    return tuple(
        Parameter(name, _kind(spec, said), said.get("description", ""), name in required)
        for name, said in schema.get("properties", {}).items()
    )


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = spec["components"]["schemas"][reference] if reference else schema
    return found


def _kind(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = _resolved(spec, schema)
    if "anyOf" in schema:
        return " or ".join(_kind(spec, option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "any"))
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return f"{kind} ≤{schema['maxLength']:,} characters" if "maxLength" in schema else kind
