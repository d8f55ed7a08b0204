"""Errors of the site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus


class WebError(Exception):
    """Base of all that the site raises on purpose."""


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field; `field` reads as the client wrote it, such as `reviews[3].rating`."""

    field: str
    message: str


@dataclass
class ProblemError(WebError):
    """A request that gets an error answer: `application/problem+json` under /api, a page elsewhere (RFC 9457)."""

    status: HTTPStatus
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The standard phrase of the status."""
        return self.status.phrase
