"""The honesty gate: what a model's evaluation record has to show before the model may serve."""

from typing import Any

CRITERION = (
    "on the model's own test rows its quadratic kappa has to be higher than that of TF-IDF, "
    "and its accuracy not lower than that of TF-IDF"
)


def objection(evaluation: dict[str, Any] | None) -> str | None:
    """Why a model with this record should not serve, with the figures; None when it beats TF-IDF on rating.

    Both figures of both sides have to be there: what was not measured is no proof.
    """
    if evaluation is None:
        return "it has no evaluation record"
    ours, theirs = _rating(evaluation), _rating(_mapping(_mapping(evaluation.get("baselines")).get("tfidf")))
    if ours is None:
        return "its evaluation record has no figures for the rating"
    if theirs is None:
        return "its evaluation record has no figures of TF-IDF on the same rows"
    if ours["qwk"] > theirs["qwk"] and ours["accuracy"] >= theirs["accuracy"]:
        return None
    n = _mapping(evaluation.get("rating")).get("n", evaluation.get("n"))
    rows = f"on {n:,} test rows " if isinstance(n, int) else ""
    figures = (
        f"{name} {ours[key]:.3f} against {theirs[key]:.3f}{_spread(evaluation, key)}"
        for key, name in (("qwk", "quadratic kappa"), ("accuracy", "accuracy"))
    )
    return f"it does not beat TF-IDF on rating: {rows}{', '.join(figures)}"


def _rating(record: dict[str, Any]) -> dict[str, float] | None:
    rating = _mapping(record.get("rating"))
    figures = {name: rating.get(name) for name in ("qwk", "accuracy")}
    found = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
    return found if len(found) == len(figures) else None


def _spread(evaluation: dict[str, Any], key: str) -> str:
    """The interval of the paired difference, where the record has it."""
    paired = _mapping(_mapping(_mapping(evaluation.get("against_tfidf")).get("rating")).get(key))
    match paired.get("interval"):
        case [float() | int() as low, float() | int() as high]:
            return f" (95 % interval of the difference {low:+.3f} to {high:+.3f})"
    return ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
