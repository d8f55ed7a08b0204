"""The Read page's form: one text area that holds one review or several."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from store.reviews import NewReview
from web.errors import FieldError
from web.inputs import MAX_REVIEWS, ReviewIn
from web.validation import field_errors

_SEPARATOR = re.compile(r"^[ \t]*-{3,}[ \t]*$", re.MULTILINE)

_LABELS = {"text": "Review", "title": "Title"}
NOTHING_TYPED = "Write or paste a review first."
OUT_OF_DATE = "This page was out of date and has been renewed. Press Read again."


@dataclass(frozen=True)
class ReadForm:
    """What was typed, the reviews in it, and what is wrong with them, in sentences."""

    text: str = ""
    title: str = ""
    reviews: tuple[NewReview, ...] = ()
    errors: tuple[FieldError, ...] = ()

    @classmethod
    def parse(cls, form: Mapping[str, str]) -> "ReadForm":
        """Read the form: reviews are separated by a line of three hyphens or more."""
        text = form.get("text", "").replace("\r\n", "\n")
        title = form.get("title", "").strip()
        parts = [part.strip() for part in _SEPARATOR.split(text)]
        bodies = [part for part in parts if part] or [""]
        reviews, errors = _reviews(bodies, title)
        return cls(text, title, reviews, errors)

    def out_of_date(self) -> "ReadForm":
        """The same form, to be sent once more."""
        return ReadForm(self.text, self.title, errors=(FieldError("text", OUT_OF_DATE),))

    def error(self, field: str) -> str | None:
        """What is wrong with a field, or None."""
        return next((error.message for error in self.errors if error.field == field), None)


def _reviews(bodies: list[str], title: str) -> tuple[tuple[NewReview, ...], tuple[FieldError, ...]]:
    if len(bodies) > MAX_REVIEWS:
        return (), (
            FieldError("text", f"Review: holds {len(bodies):,} reviews; {MAX_REVIEWS:,} at once is the limit."),
        )
    if len(bodies) > 1 and title:
        return (), (FieldError("title", "Title: belongs to a single review; leave it empty for several."),)
    if not any(char.isprintable() and not char.isspace() for body in bodies for char in body):
        return (), (FieldError("text", NOTHING_TYPED),)
    reviews: list[NewReview] = []
    errors: list[FieldError] = []
    for number, body in enumerate(bodies, start=1):
        try:
            reviews.append(ReviewIn(text=body, title=title or None).to_new())
        except ValidationError as error:
            which = f"(review {number}) " if len(bodies) > 1 else ""
            errors += [
                FieldError(found.field, f"{_LABELS[found.field]}: {which}{found.message}.")
                for found in field_errors(error)
            ]
    return tuple(reviews), tuple(errors)
