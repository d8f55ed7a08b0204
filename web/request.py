"""The request class: JSON bodies go through the strict parser, whoever reads them."""

from http import HTTPStatus
from typing import Any

from flask import Request

from web.errors import ProblemError
from web.strict_json import MalformedJsonError, loads


class StrictRequest(Request):
    """A request whose JSON is checked for its type, size and shape before anything sees it."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the parsed body. The arguments of the base class change nothing: there is one way to read.

        Raises:
            ProblemError: 415 for another content type, 400 for a malformed body.
        """
        if not self.is_json:
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as Content-Type: application/json.")
        try:
            return loads(self.get_data(cache=True))
        except MalformedJsonError as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"The body is not acceptable JSON: {error}.") from None
