"""What the OpenAPI document says beyond what each view declares."""

import json
import re
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel

from store.datasets import MAPPABLE, MAX_NAME
from web.outputs import ProblemOut, Submission

DESCRIPTION = """Hemline reads clothing reviews: how many stars the words are worth, and how old the writer
probably is. Send a token with every call: `Authorization: Bearer <token>`. Errors are
`application/problem+json`; each wrong field is named."""

SCHEMAS = "#/components/schemas/"

_ERRORS = {
    "401": "No token, or one that is unknown, expired or revoked",
    "403": "The token lacks the scope",
    "429": "Too many requests, or the queue is full; `Retry-After` says when",
    "503": "The database is away; `Retry-After` says when",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`wait=N`: wait up to N seconds, 30 at most",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key within 24 hours answers with the same job",
}
_UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "name"],
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "CSV in UTF-8, or Parquet"},
                    "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
                    "mapping": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "description": "An object of our fields ("
                        + ", ".join(MAPPABLE)
                        + ") to the file's headers, where they are not those of the public data set",
                    },
                },
            }
        }
    },
}


def register_openapi(app: APIFlask) -> None:
    """Describe the API as a whole, and the errors that every call can answer with."""
    app.description = DESCRIPTION
    app.license = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    app.servers = [{"url": "/"}]
    app.config["SECURITY_SCHEMES"] = {"token": {"type": "http", "scheme": "bearer"}}
    app.config["AUTO_404_RESPONSE"] = app.config["AUTO_VALIDATION_ERROR_RESPONSE"] = False  # said below, once
    app.spec_processor(_complete)  # type: ignore[arg-type]  # typed for YAML too; ours is always JSON


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    spec = _flat(spec)
    for model in (ProblemOut, Submission):
        spec["components"]["schemas"] |= _schemas_of(model)
    spec["components"]["schemas"].pop("HTTPError", None)
    upload = spec["paths"]["/api/v1/datasets"]["post"]
    upload["parameters"] += [_IDEMPOTENCY_KEY]
    upload["requestBody"] = _UPLOAD
    submit = spec["paths"]["/api/v1/reviews"]["post"]
    submit["parameters"] += [_PREFER, _IDEMPOTENCY_KEY]
    spec["paths"]["/api/v1/reviews/{review_id}"]["get"]["responses"]["202"]["content"] = {
        "application/json": {"schema": {"$ref": f"{SCHEMAS}JobOut"}}
    }
    submit["responses"]["200"]["content"] = {"application/json": {"schema": {"$ref": f"{SCHEMAS}Submission"}}}
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            _add_errors(operation, path)
    return spec


def _flat(spec: dict[str, Any]) -> dict[str, Any]:
    """APIFlask registers a nested model once for each parent, as `Parent.Model`; once is enough."""
    flat: dict[str, Any] = json.loads(re.sub(rf"{SCHEMAS}\w+\.(\w+)", rf"{SCHEMAS}\1", json.dumps(spec)))
    schemas = flat["components"]["schemas"]
    flat["components"]["schemas"] = {name.rpartition(".")[2]: schema for name, schema in schemas.items()}
    return flat


def _schemas_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=f"{SCHEMAS}{{model}}", mode="serialization")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _add_errors(operation: dict[str, Any], path: str) -> None:
    responses = operation["responses"]
    errors = dict(_ERRORS)
    if "{" in path:
        errors["404"] = "There is none with this id"
    if operation["parameters"] or "requestBody" in operation:
        errors["422"] = "A field is wrong; `errors` names it"
    for status, description in errors.items():
        responses[status] = {"description": description} | responses.get(status, {})
    for status, response in responses.items():
        if status >= "400":
            response["content"] = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}ProblemOut"}}}
    operation["responses"] = dict(sorted(responses.items()))
