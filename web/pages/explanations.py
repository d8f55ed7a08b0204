"""Why the model says what it says, as a page shows it: marked words, and a table of the strongest."""

from dataclasses import dataclass
from typing import Literal

from store.explanations import ExplanationView, WordWeight
from store.reviews import ReviewView

N_STRONGEST = 8
MARKED = 0.15  # of the strongest word's weight; below, a word is not marked
STRONG = 0.5
MINUS = "\N{MINUS SIGN}"

Sign = Literal["raises", "lowers"]


@dataclass(frozen=True)
class Run:
    """A stretch of the review; `sign` and `weight` are None where it is not marked."""

    text: str
    sign: Sign | None = None
    weight: str | None = None
    is_strong: bool = False


@dataclass(frozen=True)
class StrongWord:
    """A line of the table."""

    text: str
    sign: Sign
    weight: str


@dataclass(frozen=True)
class HeadExplanation:
    """What the words did to one head, as text with its unit."""

    name: str
    unit: str
    raises: str
    lowers: str
    title: tuple[Run, ...]
    text: tuple[Run, ...]
    strongest: tuple[StrongWord, ...]
    baseline: str
    unexplained: str
    total: str


def explained(review: ReviewView, said: ExplanationView) -> tuple[HeadExplanation, ...]:
    """Prepare the explanation of a review's newest prediction, stars first."""
    prediction = review.prediction
    if prediction is None:
        return ()
    return (
        _head(
            review,
            said,
            "stars",
            name="Stars",
            raises="for more stars",
            lowers="for fewer",
            total=prediction.expected_stars,
        ),
        _head(
            review,
            said,
            "years",
            name="Age",
            raises="for an older writer",
            lowers="for a younger one",
            total=prediction.age,
        ),
    )


def _head(
    review: ReviewView,
    said: ExplanationView,
    unit: Literal["stars", "years"],
    *,
    name: str,
    raises: str,
    lowers: str,
    total: float,
) -> HeadExplanation:
    texts = {"title": review.title or "", "text": review.text}
    weights = [(word, word.stars if unit == "stars" else word.years) for word in said.words]
    top = max((abs(weight) for _, weight in weights), default=0.0)
    marked = [(word, weight) for word, weight in weights if weight and abs(weight) >= MARKED * top]
    strongest = sorted(marked, key=lambda pair: -abs(pair[1]))[:N_STRONGEST]

    def runs(part: Literal["title", "text"]) -> tuple[Run, ...]:
        return _runs(texts[part], [pair for pair in marked if pair[0].part == part], unit=unit, top=top)

    return HeadExplanation(
        name=name,
        unit=unit,
        raises=raises,
        lowers=lowers,
        title=runs("title"),
        text=runs("text"),
        strongest=tuple(
            StrongWord(texts[word.part][word.start : word.end], _sign(weight), _signed(weight, unit))
            for word, weight in strongest
        ),
        baseline=_plain(said.baseline.stars if unit == "stars" else said.baseline.years, unit),
        unexplained=_signed(said.unexplained.stars if unit == "stars" else said.unexplained.years, unit),
        total=_plain(total, unit),
    )


def _runs(source: str, marked: list[tuple[WordWeight, float]], *, unit: str, top: float) -> tuple[Run, ...]:
    runs: list[Run] = []
    end = 0
    for word, weight in marked:
        if word.start > end:
            runs.append(Run(source[end : word.start]))
        is_strong = abs(weight) >= STRONG * top
        runs.append(Run(source[word.start : word.end], _sign(weight), _signed(weight, unit), is_strong))
        end = word.end
    return (*runs, Run(source[end:])) if end < len(source) else tuple(runs)


def _sign(weight: float) -> Sign:
    return "raises" if weight > 0 else "lowers"


def _signed(amount: float, unit: str) -> str:
    return f"{amount:+.{_digits(unit)}f} {unit}".replace("-", MINUS)


def _plain(amount: float, unit: str) -> str:
    return f"{amount:.{_digits(unit)}f} {unit}"


def _digits(unit: str) -> int:
    return 2 if unit == "stars" else 1
