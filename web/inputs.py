"""What comes in over HTTP: frozen Pydantic models, strict where JSON says what it means."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from store.datasets import MAX_NAME
from store.jobs import JobKind, JobState, QueueName
from store.reviews import MAX_TEXT, MAX_TITLE, NewReview
from web.strict_json import MalformedJsonError, loads

MAX_REVIEWS = 1_000
MAX_LABEL_CHARS = 200
MAX_AGE_YEARS = 120
MAX_REASON = 2_000
REVIEWED_YEARS = range(1970, 2101)


class Strict(BaseModel):
    """Base of what comes in: unknown fields are refused and nothing is converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _storable(value: str) -> str:
    if "\x00" in value:
        raise PydanticCustomError("nul", "must not contain the NUL character")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise PydanticCustomError("surrogate", "must not contain a lone surrogate")
    return value


def _not_blank(value: str) -> str:
    # Format characters such as the zero-width space print nothing either.
    if not any(char.isprintable() and not char.isspace() for char in value):
        raise PydanticCustomError("blank", "must not be empty")
    return value


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise PydanticCustomError("iso8601", "must be a string such as 2024-05-31 or 2024-05-31T12:00:00Z")
    try:
        parsed = datetime.fromisoformat(value)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "iso8601", "is not an ISO 8601 date or time, such as 2024-05-31 or 2024-05-31T12:00:00Z"
        ) from None
    if instant.year not in REVIEWED_YEARS:
        raise PydanticCustomError("year", f"must be in the years {REVIEWED_YEARS[0]} to {REVIEWED_YEARS[-1]}")
    return instant


# Lengths are checked first, so that nothing walks through an oversized text.
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_storable), AfterValidator(_not_blank)]
Title = Annotated[str, StringConstraints(max_length=MAX_TITLE), AfterValidator(_storable)]
Label = Annotated[
    str, StringConstraints(max_length=MAX_LABEL_CHARS), AfterValidator(_storable), AfterValidator(_not_blank)
]
Words = Annotated[str, StringConstraints(max_length=MAX_LABEL_CHARS), AfterValidator(_storable)]
Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=str)]


class ReviewIn(Strict):
    """A review as a client hands it in; `rating` and `age` are what the shopper said."""

    text: Text
    title: Title | None = None
    external_id: Label | None = None
    product_id: Label | None = None
    department: Label | None = None
    class_name: Label | None = None
    rating: Annotated[int, Field(ge=1, le=5, description="Stars that the shopper gave, 1 to 5.")] | None = None
    age: (
        Annotated[float, Field(ge=1, le=MAX_AGE_YEARS, allow_inf_nan=False, description="The shopper's age in years.")]
        | None
    ) = None
    reviewed_at: Instant | None = None

    def to_new(self) -> NewReview:
        """The same, as the store takes it."""
        return NewReview(**self.model_dump())


class ReviewBatch(Strict):
    """Several reviews in one request: one job."""

    reviews: Annotated[list[ReviewIn], Field(min_length=1, max_length=MAX_REVIEWS)]


def _shape(value: object) -> str:
    return "many" if isinstance(value, dict) and "reviews" in value else "one"


class ReviewsIn(
    RootModel[Annotated[Annotated[ReviewIn, Tag("one")] | Annotated[ReviewBatch, Tag("many")], Discriminator(_shape)]]
):
    """The body of `POST /reviews`: one review, or `{"reviews": […]}` with up to 1,000."""

    def to_new(self) -> list[NewReview]:
        """The reviews in order, as the store takes them."""
        reviews = self.root.reviews if isinstance(self.root, ReviewBatch) else [self.root]
        return [review.to_new() for review in reviews]


def _one_line(value: str) -> str:
    if not value.isprintable() or "\ufffd" in value:
        raise PydanticCustomError("one_line", "must be one line of printable text in UTF-8")
    return value


ColumnName = Literal["text", "title", "rating", "age", "department", "class_name", "product_id"]
Columns = dict[ColumnName, Label]


class DatasetIn(Strict):
    """The fields of an upload beside its file."""

    name: Annotated[
        str,
        StringConstraints(max_length=MAX_NAME, strip_whitespace=True),
        AfterValidator(_one_line),
        AfterValidator(_not_blank),
    ]
    mapping: Columns = Field(default_factory=dict)

    @field_validator("mapping", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        """A form's field is text: this one holds an object as JSON."""
        if not isinstance(value, str):
            return value
        try:
            return loads(value.encode()) if value.strip() else {}
        except (MalformedJsonError, UnicodeEncodeError):
            raise PydanticCustomError("json", 'must be a JSON object such as {{"text": "Comment"}}') from None


class PageIn(BaseModel):
    """The paging of every list. Query strings are text, so numbers are converted here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        """What a filter form leaves empty means any."""
        return {name: value for name, value in data.items() if value != ""} if isinstance(data, Mapping) else data


Stars = Annotated[int, Field(ge=1, le=5)]


class ReviewListIn(PageIn):
    """Filters of `GET /reviews`."""

    product_id: Label | None = None
    department: Label | None = None
    class_name: Label | None = None
    rating: Stars | None = None
    predicted_rating: Stars | None = None
    model_version: Label | None = None
    q: Words | None = None


class ExplainIn(BaseModel):
    """What `GET /reviews/{review_id}` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: Annotated[bool, Field(description="Also give the weight of each word.")] = False


class JobListIn(PageIn):
    """Filters of `GET /jobs`."""

    state: JobState | None = None
    kind: JobKind | None = None
    queue: QueueName | None = None


class DatasetListIn(PageIn):
    """Filters of `GET /datasets`."""

    name: Words | None = None


Reason = Annotated[str, StringConstraints(max_length=MAX_REASON), AfterValidator(_storable)]


class PromoteIn(Strict):
    """The body of a promotion."""

    reason: Annotated[Reason | None, Field(description="Why, for the record.")] = None
    override_reason: Annotated[
        Reason | None, Field(description="Why it shall serve although the honesty gate refuses it.")
    ] = None


class RollbackIn(Strict):
    """The body of a rollback."""

    reason: Annotated[Reason | None, Field(description="Why, for the record.")] = None
    serving: Annotated[
        Label | None, Field(description="The version that you believe to serve; another one is 409.")
    ] = None
