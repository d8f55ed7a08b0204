"""Predictions as a page shows them: numbers become text and lengths here, so that templates only place them."""

from dataclasses import dataclass

from store.reviews import PredictionView, ReviewView

BAR_WIDTH = 100.0
GAP = 0.6
MIN_LABELLED_WIDTH = 8.0
AGE_SCALE = (15.0, 90.0)  # years at the ends of the drawn scale


@dataclass(frozen=True)
class Segment:
    """One of the five parts of the probability bar, in hundredths of its width."""

    stars: int
    percent: str
    x: float
    width: float
    bar_width: float
    is_top: bool

    @property
    def middle(self) -> float:
        """Where its label stands."""
        return round(self.x + self.width / 2, 2)

    @property
    def has_room(self) -> bool:
        """Whether a label fits into it."""
        return self.width >= MIN_LABELLED_WIDTH

    @property
    def spoken(self) -> str:
        """The part in words."""
        return f"{self.stars} {'star' if self.stars == 1 else 'stars'} {self.percent}"


@dataclass(frozen=True)
class AgeBand:
    """The age and its 90 % interval, in years as text and in hundredths of the drawn scale."""

    age: str
    low: str
    high: str
    x: float
    low_x: float
    width: float
    ticks: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Reading:
    """A review with what the model says of it; `stars` and what follows is None before it is read."""

    review: ReviewView
    stars: int | None
    expected: str | None
    segments: tuple[Segment, ...]
    age: AgeBand | None
    model_version: str | None
    is_truncated: bool
    is_mismatch: bool

    @property
    def is_read(self) -> bool:
        """Whether the model has spoken."""
        return self.stars is not None


def reading_of(review: ReviewView) -> Reading:
    """Prepare one review for showing."""
    said = review.prediction
    if said is None:
        return Reading(review, None, None, (), None, None, is_truncated=False, is_mismatch=False)
    return Reading(
        review=review,
        stars=said.rating,
        expected=f"{said.expected_stars:.1f}",
        segments=_segments(said.rating_probabilities),
        age=_age_band(said),
        model_version=said.model_version,
        is_truncated=said.truncated,
        is_mismatch=review.rating is not None and abs(review.rating - said.expected_stars) >= 2,
    )


def _segments(probabilities: tuple[float, ...]) -> tuple[Segment, ...]:
    top = max(range(len(probabilities)), key=probabilities.__getitem__)
    room = BAR_WIDTH - GAP * (len(probabilities) - 1)
    segments: list[Segment] = []
    x = 0.0
    for index, probability in enumerate(probabilities):
        width = probability * room
        segments.append(
            Segment(
                stars=index + 1,
                percent=_percent(probability),
                x=round(x, 2),
                width=round(width, 2),
                bar_width=round(probability * BAR_WIDTH, 2),
                is_top=index == top,
            )
        )
        x += width + GAP
    return tuple(segments)


def _percent(probability: float) -> str:
    if 0 < probability < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 < probability < 1 else f"{probability:.0%}".replace("%", " %")


def _age_band(said: PredictionView) -> AgeBand:
    return AgeBand(
        age=f"{said.age:.0f}",
        low=f"{said.age_low:.0f}",
        high=f"{said.age_high:.0f}",
        x=_on_scale(said.age),
        low_x=_on_scale(said.age_low),
        width=round(_on_scale(said.age_high) - _on_scale(said.age_low), 2),
        ticks=tuple((years, _on_scale(years)) for years in range(20, 90, 10)),
    )


def _on_scale(years: float) -> float:
    low, high = AGE_SCALE
    return round(min(max((years - low) / (high - low), 0.0), 1.0) * BAR_WIDTH, 2)
