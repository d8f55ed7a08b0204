"""Workers and models: who reads, with what, and how good it is known to be."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from store import models, queues, workers
from store.models import ModelVersionView
from web.context import site
from web.formats import wants_fragment
from web.gate import READING, needs

POLL_S = 3

blueprint = Blueprint("fleet", __name__)


@dataclass(frozen=True)
class MetricRow:
    """One figure of an evaluation, beside the same figure of each trivial baseline."""

    name: str
    meaning: str
    model: str
    interval: str
    baselines: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """A model version with its evaluation as a table."""

    model: ModelVersionView
    n_reviews: int | None
    baselines: tuple[str, ...]
    rows: tuple[MetricRow, ...]


_METRICS = (
    ("rating", "accuracy", "Stars exactly right", "share, higher is better"),
    ("rating", "macro_f1", "Macro-F1 over the five stars", "higher is better"),
    ("rating", "qwk", "Agreement with the shopper", "quadratic kappa, higher is better"),
    ("rating", "mae_stars", "Error in stars", "mean, lower is better"),
    ("rating", "ece", "Calibration error", "lower is better"),
    ("age", "mae", "Error in age", "mean, years, lower is better"),
    ("age", "r2", "Variance of age explained", "R², higher is better"),
    ("age", "coverage_90", "Ages inside the 90 % interval", "share, should be 0.9"),
)

_BASELINE_NAMES = {"majority": "Majority / mean", "tfidf": "TF-IDF"}


@blueprint.get("/workers")
@needs(*READING)
def workers_page() -> ResponseReturnValue:
    """Show who is alive and what waits; for htmx the part of it that changes."""
    with site().database.read() as db:
        listed = workers.list_workers(db, include_gone=True)
        queue_views = queues.list_queues(db)
    return render_template(
        "fleet/_workers.html" if wants_fragment() else "fleet/workers.html",
        workers=[worker for worker in listed if worker.is_alive],
        gone=[worker for worker in listed if not worker.is_alive][:10],
        queues=queue_views,
        now=datetime.now(UTC),
        poll_s=POLL_S,
    )


@blueprint.get("/models")
@needs(*READING)
def models_page() -> ResponseReturnValue:
    """Show the registered model versions beside their baselines, the active one first."""
    with site().database.read() as db:
        listed = models.list_models(db)
    ordered = sorted(listed, key=lambda model: model.state != "active")
    return render_template("fleet/models.html", cards=[_card(model) for model in ordered])


def _card(model: ModelVersionView) -> ModelCard:
    evaluation = model.evaluation or {}
    found: Any = evaluation.get("baselines")
    baselines: dict[str, Any] = found if isinstance(found, dict) else {}
    rows = tuple(
        MetricRow(
            name=name,
            meaning=meaning,
            model=_figure(evaluation, head, metric),
            interval=_interval(evaluation.get("intervals"), head, metric),
            baselines=tuple(_figure(baseline, head, metric) for baseline in baselines.values()),
        )
        for head, metric, name, meaning in _METRICS
        if _figure(evaluation, head, metric)
    )
    n_reviews = evaluation.get("n")
    return ModelCard(
        model=model,
        n_reviews=n_reviews if isinstance(n_reviews, int) else None,
        baselines=tuple(_BASELINE_NAMES.get(name, name) for name in baselines),
        rows=rows,
    )


def _interval(intervals: Any, head: str, metric: str) -> str:
    """The bootstrap interval of one figure, empty where the record does not have it."""
    figures = intervals.get(head) if isinstance(intervals, dict) else None
    match figures.get(metric) if isinstance(figures, dict) else None:
        case [float() | int() as low, float() | int() as high]:
            return f"{low:.3f} to {high:.3f}"
    return ""


def _figure(record: Any, head: str, metric: str) -> str:
    """One figure with three digits, empty where the record does not have it."""
    figures = record.get(head) if isinstance(record, dict) else None
    value = figures.get(metric) if isinstance(figures, dict) else None
    return f"{value:.3f}" if isinstance(value, int | float) else ""
