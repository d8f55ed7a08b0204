"""The sample reviews that come with the program."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from store.reviews import NewReview

SAMPLES = Path(__file__).resolve().parent.parent / "hemline" / "samples" / "reviews.csv"
N_CHIPS = 6


@dataclass(frozen=True)
class Sample:
    """One sample, with the name that its button shows."""

    id: str
    name: str
    review: NewReview


@cache
def all_samples() -> tuple[Sample, ...]:
    """Every sample in the order of the file; none where the file is not shipped."""
    if not SAMPLES.is_file():
        return ()
    with SAMPLES.open(encoding="utf-8", newline="") as lines:
        return tuple(_sample(row) for row in csv.DictReader(lines))


def find(sample_id: str) -> Sample | None:
    """The sample with this id, or None."""
    return next((sample for sample in all_samples() if sample.id == sample_id), None)


@cache
def chips() -> tuple[Sample, ...]:
    """A few that differ: first every rating once, from different products, then more until there are six."""
    titled = [sample for sample in all_samples() if sample.review.title]
    chosen: list[Sample] = []
    for stars in (5, 1, 3, 4, 2):
        taken = {sample.review.product_id for sample in chosen}
        fresh = (s for s in titled if s.review.rating == stars and s.review.product_id not in taken)
        chosen += [sample for sample in [next(fresh, None)] if sample is not None]
    rest = (sample for sample in reversed(titled) if sample not in chosen)
    return (*chosen, *[s for s, _ in zip(rest, range(N_CHIPS - len(chosen)), strict=False)])


def _sample(row: dict[str, str]) -> Sample:
    text = row["Review Text"]
    title = row["Title"] or None
    return Sample(
        id=row["Sample"],
        name=title or text[:32],
        review=NewReview(
            external_id=f"sample-{row['Sample']}",  # loading a sample again is the same review again
            product_id=row["Clothing ID"] or None,
            department=row["Department Name"] or None,
            class_name=row["Class Name"] or None,
            title=title,
            text=text,
            rating=int(row["Rating"]) if row["Rating"] else None,
            age=float(row["Age"]) if row["Age"] else None,
        ),
    )
