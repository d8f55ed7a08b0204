"""The one record by which a model is judged, with the trivial baselines on the same rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ml import metrics
from ml.baselines import Baselines
from ml.data import ReviewTable
from ml.metrics import Floats, Ints, Readings

N_RESAMPLES = 1000
SMALLEST_GROUP = 10
"""Reviews; a slice with fewer is left out: its figures would be noise, and could point at a person."""
AGE_EDGES = (30, 40, 50, 60)
AGE_BANDS = ("<30", "30-39", "40-49", "50-59", "60+")
LENGTH_EDGES = (30, 60, 100)
LENGTH_BANDS = ("<30 words", "30-59 words", "60-99 words", "100+ words")

Figures = dict[str, float]
Record = dict[str, Any]
"""Goes into JSON files, database columns and API answers as it stands, hence a dictionary: plain floats, no NaN."""

RATING_METRICS: Mapping[str, Callable[[Ints, Readings], float]] = {
    "accuracy": lambda true, said: metrics.accuracy(true, said.stars),
    "macro_f1": lambda true, said: metrics.macro_f1(true, said.stars),
    "qwk": lambda true, said: metrics.qwk(true, said.stars),
    "mae_stars": lambda true, said: metrics.mae_stars(true, said.stars),
    "ece": lambda true, said: metrics.ece(true, said.probabilities),
}
AGE_METRICS: Mapping[str, Callable[[Floats, Readings], float]] = {
    "mae": lambda true, said: metrics.age_mae(true, said.ages),
    "rmse": lambda true, said: metrics.age_rmse(true, said.ages),
    "r2": lambda true, said: metrics.age_r2(true, said.ages),
    "coverage_90": lambda true, said: float(_covered(true, said).mean()),
    "mean_interval_width": lambda _, said: float((said.age_high - said.age_low).mean()),
}


def evaluate(table: ReviewTable, said: Readings, baselines: Baselines, *, seed: int = 0) -> Record:
    """Judge a model's readings of a table; nothing is fitted here.

    A row counts for the heads whose labels it has. A head without any label has nulls and a `reason`.

    Args:
        table: the reviews with what their writers said.
        said: the model's readings of the same rows, in order.
        baselines: fitted with the model, on its training rows.
        seed: of the bootstrap.

    Returns:
        `n`, `n_without_text`, `rating`, `age`, `intervals` (bootstrap 95 %), `confusion` (rows: given stars),
        `reliability`, `slices`, `baselines.{majority,tfidf}` and `against_tfidf` (paired, model less baseline).
    """
    rivals = {"majority": baselines.majority(table.reviews), "tfidf": baselines.tfidf(table.reviews)}
    rated, aged = np.flatnonzero(~np.isnan(table.ratings)), np.flatnonzero(~np.isnan(table.ages))
    stars, ages = table.ratings[rated].astype(np.int64), table.ages[aged].astype(np.float64)
    of_stars, of_ages = said.take(rated), said.take(aged)
    rival_stars, rival_ages = rivals["tfidf"].take(rated), rivals["tfidf"].take(aged)
    rating_spread = _bootstrap(RATING_METRICS, stars, of_stars, rival_stars, seed=seed)
    age_spread = _bootstrap(AGE_METRICS, ages, of_ages, rival_ages, seed=seed)
    record = {
        "n": len(table),
        "n_without_text": table.n_without_text,
        **_heads(stars, of_stars, ages, of_ages),
        "intervals": {"rating": rating_spread["intervals"], "age": age_spread["intervals"]},
        "confusion": metrics.confusion(stars, of_stars.stars).tolist(),
        "reliability": _reliability(stars, of_stars),
        "slices": _slices(table, said),
        "baselines": {name: _heads(stars, rival.take(rated), ages, rival.take(aged)) for name, rival in rivals.items()},
        "against_tfidf": {"rating": rating_spread["differences"], "age": age_spread["differences"]},
    }
    finished: Record = _plain(record)
    return finished


def _heads(stars: Ints, of_stars: Readings, ages: Floats, of_ages: Readings) -> Record:
    rating: Record = {"n": len(stars), **_figures(RATING_METRICS, stars, of_stars)}
    age: Record = {
        "n": len(ages),
        **_figures(AGE_METRICS, ages, of_ages),
        **_coverage("by_band", of_ages.ages, ages, of_ages),
        **_coverage("by_true_band", ages, ages, of_ages),
    }
    if not len(stars):
        rating["reason"] = "no row has a rating"
    if not len(ages):
        age["reason"] = "no row has an age"
    return {"rating": rating, "age": age}


def _figures(wanted: Mapping[str, Callable[[Any, Readings], float]], true: Any, said: Readings) -> Figures:
    return {name: metric(true, said) if len(true) else math.nan for name, metric in wanted.items()}


def _covered(true: Floats, said: Readings) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return (true >= said.age_low) & (true <= said.age_high)


def _coverage(name: str, by: Floats, true: Floats, said: Readings) -> Record:
    """Coverage in each band of the ages `by`, and how many reviews each band holds."""
    band = np.digitize(by, AGE_EDGES)
    covered = _covered(true, said)
    members = [covered[band == number] for number in range(len(AGE_BANDS))]
    shares = {label: float(rows.mean()) if len(rows) else None for label, rows in zip(AGE_BANDS, members, strict=True)}
    return {
        f"coverage_{name}": shares,
        f"n_{name}": {label: len(rows) for label, rows in zip(AGE_BANDS, members, strict=True)},
    }


def _bootstrap(
    wanted: Mapping[str, Callable[[Any, Readings], float]], true: Any, said: Readings, rival: Readings, *, seed: int
) -> Record:
    """95 % percentile intervals of each metric, and of its difference from the rival's on the same resampled rows.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    if not len(true):
        empty = dict.fromkeys(wanted)
        return {"intervals": empty, "differences": empty}
    random = np.random.default_rng(seed)
    own, gaps = np.empty((N_RESAMPLES, len(wanted))), np.empty((N_RESAMPLES, len(wanted)))
    for resample in range(N_RESAMPLES):
        rows = random.integers(0, len(true), len(true))
        truth, ours, theirs = true[rows], said.take(rows), rival.take(rows)
        own[resample] = [metric(truth, ours) for metric in wanted.values()]
        gaps[resample] = own[resample] - [metric(truth, theirs) for metric in wanted.values()]
    observed = {name: metric(true, said) - metric(true, rival) for name, metric in wanted.items()}
    return {
        "intervals": {name: _ends(column) for name, column in zip(wanted, own.T, strict=True)},
        "differences": {
            name: {"difference": observed[name], "interval": _ends(column)}
            for name, column in zip(wanted, gaps.T, strict=True)
        },
    }


def _ends(resamples: Floats) -> list[float] | None:
    """Return the middle 95 %; resamples in which the metric is undefined (one class only) do not count."""
    defined = resamples[np.isfinite(resamples)]
    return list(np.percentile(defined, [2.5, 97.5])) if len(defined) else None


def _reliability(stars: Ints, said: Readings) -> list[Record]:
    bins = metrics.reliability(stars, said.probabilities)
    width = 1 / metrics.N_BINS
    return [
        {"low": number * width, "high": (number + 1) * width, "n": n, "confidence": sure, "accuracy": right}
        for number, (n, sure, right) in enumerate(zip(bins.n, bins.confidence, bins.accuracy, strict=True))
    ]


def _slices(table: ReviewTable, said: Readings) -> Record:
    n_words = [len(review.text.split()) for review in table.reviews]
    lengths = [LENGTH_BANDS[number] for number in np.digitize(n_words, LENGTH_EDGES)]
    groupings: dict[str, Sequence[str]] = {
        "department": table.departments,
        "class": table.class_names,
        "length": lengths,
    }
    return {name: _slice(labels, table, said) for name, labels in groupings.items()}


def _slice(labels: Sequence[str], table: ReviewTable, said: Readings) -> Record:
    column = np.array(labels, dtype=object)
    groups = {str(label): np.flatnonzero(column == label) for label in sorted(set(labels) - {""})}
    return {label: _group(rows, table, said) for label, rows in groups.items() if len(rows) >= SMALLEST_GROUP}


def _group(rows: Ints, table: ReviewTable, said: Readings) -> Record:
    rated, aged = rows[~np.isnan(table.ratings[rows])], rows[~np.isnan(table.ages[rows])]
    stars, ages = table.ratings[rated].astype(np.int64), table.ages[aged].astype(np.float64)
    of_ages = said.take(aged)
    return {
        "n": len(rows),
        "accuracy": metrics.accuracy(stars, said.take(rated).stars) if len(rated) else None,
        "mae_stars": metrics.mae_stars(stars, said.take(rated).stars) if len(rated) else None,
        "age_mae": metrics.age_mae(ages, of_ages.ages) if len(aged) else None,
        "coverage_90": float(_covered(ages, of_ages).mean()) if len(aged) else None,
    }


def _plain(value: Any) -> Any:
    """Turn numpy numbers into Python's, and what is not finite into None: JSON has no NaN."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case np.integer():
            return int(value)
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case _:
            return value
