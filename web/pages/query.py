"""Query strings of pages: a wrong value is said beside the form, and what the page does not know is ignored."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError

from web.errors import FieldError
from web.inputs import PageIn
from web.validation import field_errors

STALE_CURSOR = FieldError("cursor", "This place in the list is not there any more. Start from the newest.")

_LABELS = {
    "q": "Words",
    "product_id": "Product",
    "department": "Department",
    "class_name": "Class",
    "rating": "Shopper gave",
    "predicted_rating": "Words say",
    "model_version": "Model",
    "state": "State",
    "kind": "Kind",
    "queue": "Queue",
    "limit": "Page size",
}

Query = TypeVar("Query", bound=PageIn)


def query(model: type[Query]) -> tuple[Query, tuple[FieldError, ...]]:
    """Read the filters and the paging of a list.

    Returns:
        What can be used of them, and a sentence for each value that the list does not know.
    """
    given = {name: value for name, value in request.args.items() if name in model.model_fields}
    try:
        return model.model_validate(given), ()
    except ValidationError as error:
        found = field_errors(error)
    wrong = {one.field for one in found}
    usable = model.model_validate({name: value for name, value in given.items() if name not in wrong})
    return usable, tuple(map(_sentence, found))


def _sentence(error: FieldError) -> FieldError:
    if error.field == "cursor":
        return STALE_CURSOR
    return FieldError(error.field, f"{_LABELS[error.field]}: {error.message}.")
