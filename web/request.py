"""The request class: every body is bounded, and JSON and forms are read strictly, whoever reads them."""

from collections.abc import Callable
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar
from urllib.parse import parse_qsl

from flask import Request, current_app
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.formparser import FormDataParser
from werkzeug.utils import cached_property
from werkzeug.wsgi import LimitedStream

from web.connections import SlowClientError
from web.context import site
from web.errors import ProblemError
from web.strict_json import MalformedJsonError, loads

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_UPLOAD_BYTES = 2 * 1024**3
UPLOAD_ENDPOINTS = frozenset({"api_datasets.create", "datasets.upload"})
"""Views that take a file; any other body has to fit into memory."""
MAX_FORM_PARTS = 100
TOO_MANY_PARTS = f"The form has more than {MAX_FORM_PARTS} fields."

View = TypeVar("View", bound=Callable[..., object])


class Body(LimitedStream):
    """A request's body: never more than the limit, never less than was announced.

    Werkzeug's stream ends at the limit without a word when the client did not say how much will come.

    Raises:
        ProblemError: when read: 413 for more than the limit, 400 for broken chunks, 408 for a client that is too slow.
        ClientDisconnected: when read: the client left in mid-body (400, to nobody).
    """

    def __init__(self, stream: IO[bytes], *, limit: int, announced: int | None) -> None:
        super().__init__(stream, limit + 1, is_max=True)  # one byte more tells too much from just enough
        self._words = "2 GiB" if limit == MAX_UPLOAD_BYTES else "8 MB"
        self._announced = announced or 0
        if self._announced > limit:
            self.on_exhausted()

    def readinto(self, b: bytearray) -> int | None:  # type: ignore[override]  # as the base class has it
        """Read some of it."""
        try:
            n_bytes = super().readinto(b)
        except SlowClientError:
            raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.") from None
        except ParseException:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "The chunks of the body are malformed.") from None
        if self.is_exhausted:
            self.on_exhausted()
        return n_bytes

    def on_exhausted(self) -> None:
        """Refuse a body that goes on after the limit."""
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than the {self._words} that we accept."
        )

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Tell the end of a body from a client that left."""
        if error is not None or self.tell() < self._announced:
            raise ClientDisconnected


class StrictFormParser(FormDataParser):
    """Forms in UTF-8 only: replaced characters would be stored as if they had been typed."""

    def _parse_urlencoded(self, stream: IO[bytes], *_: object) -> Any:
        try:
            fields = parse_qsl(
                stream.read().decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_PARTS
            )
        except UnicodeDecodeError:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "The form is not UTF-8.") from None
        except ValueError:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_MANY_PARTS) from None
        return stream, self.cls(fields), self.cls()


def optional_body(view: View) -> View:
    """Declare that a view takes an empty body for an empty JSON object."""
    view.body_is_optional = True  # type: ignore[attr-defined]  # functions carry attributes
    return view


class StrictRequest(Request):
    """A request whose body is checked for its type, size and shape before anything sees it."""

    form_data_parser_class = StrictFormParser

    @cached_property
    def stream(self) -> Body:  # type: ignore[override]  # a stream as Werkzeug's own, which only casts
        """The body, bounded."""
        limit = MAX_UPLOAD_BYTES if self.endpoint in UPLOAD_ENDPOINTS else MAX_BODY_BYTES
        return Body(self.environ["wsgi.input"], limit=limit, announced=self.content_length)

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        """Where the files of a form are kept while they come in: beside our other files, for they may be large.

        They have no name there, so that nothing is left of them however the request ends.
        """
        folder = site().settings.home.resolve() / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return TemporaryFile(dir=folder)

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the parsed body. The arguments of the base class change nothing: there is one way to read.

        Raises:
            ProblemError: 415 for another content type, 400 for a malformed body.
        """
        view = current_app.view_functions.get(self.endpoint or "")
        if getattr(view, "body_is_optional", False) and not self.get_data(cache=True):
            return {}
        if not self.is_json:
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as Content-Type: application/json.")
        try:
            return loads(self.get_data(cache=True))
        except MalformedJsonError as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"The body is not acceptable JSON: {error}.") from None
