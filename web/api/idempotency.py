"""The Idempotency-Key of a request."""

from collections.abc import Callable
from http import HTTPStatus

from flask import request

from store.jobs import Idempotency
from web.errors import FieldError, ProblemError

MAX_KEY_CHARS = 255


def idempotency(body_sha256: Callable[[], str]) -> Idempotency | None:
    """The caller's promise that the same key means the same body, or None where it makes none.

    Args:
        body_sha256: of what the request asks for; called only where there is a key.

    Raises:
        ProblemError: 422 for a key that is none.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        wrong = FieldError("Idempotency-Key", f"must have 1 to {MAX_KEY_CHARS} printable characters")
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{wrong.field} {wrong.message}.", [wrong])
    return Idempotency(key, body_sha256())
