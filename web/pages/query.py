"""Query strings of pages: what a filter form leaves empty is absent."""

from typing import TypeVar

from flask import request

from web.inputs import PageIn
from web.validation import validate

Query = TypeVar("Query", bound=PageIn)


def query(model: type[Query]) -> Query:
    """Read the filters and the paging of a list.

    Raises:
        ProblemError: 422 for a value that the list does not know.
    """
    return validate(model, {name: value for name, value in request.args.items() if value})
