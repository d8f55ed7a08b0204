"""Pydantic's findings in the words of our answers: the field as the client wrote it, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from web.errors import FieldError, ProblemError

MAX_ERRORS = 50
_UNION_TAGS = {"one", "many"}
_PLAIN = {
    "extra_forbidden": "is not a field that we know",
    "missing": "is missing",
    "string_type": "must be text",
    "string_unicode": "is not valid Unicode text (a lone surrogate?)",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_long": "must have at most {max_length:,} items, not {actual_length:,}",
    "too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "enum": "must be one of {expected}",
}

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Mapping[str, Any]) -> Model:
    """Read form or query values.

    Raises:
        ProblemError: 422 with every wrong field, up to 50.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise problem_of(error) from None


def problem_of(error: ValidationError) -> ProblemError:
    """The 422 answer for what Pydantic found."""
    found = field_errors(error)
    what = f"{found[0].field}: {found[0].message}"
    more = error.error_count() - 1
    detail = what if not more else f"{what} (and {more} more)"
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=found)


def field_errors(error: ValidationError) -> list[FieldError]:
    """Each wrong field with its message; the values themselves are never repeated."""
    details = error.errors(include_url=False, include_context=True, include_input=False)
    return [FieldError(_path(detail["loc"]), _message(detail)) for detail in details[:MAX_ERRORS]]


def _path(loc: Sequence[int | str]) -> str:
    parts = loc[1:] if loc and loc[0] in _UNION_TAGS else loc
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:100]}" for part in parts)
    return path.removeprefix(".") or "body"


def _message(detail: ErrorDetails) -> str:
    plain = _PLAIN.get(detail["type"])
    return detail["msg"] if plain is None else plain.format(**detail.get("ctx", {}))
