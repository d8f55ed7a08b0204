"""A training's curves, ready to draw: losses by step, and what each validation said."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from store import trainings
from store.jobs import JobKind, JobView
from store.trainings import Curves, EvaluationView, StepView

WIDTH, HEIGHT = 640.0, 200.0
LEFT, BOTTOM, TOP = 44.0, 24.0, 10.0
MAX_POINTS = 300
SMOOTHED_OVER = 0.05  # of the points: single batches of 32 reviews jump

_LINES = (("total", "Total"), ("rating_part", "Rating, weighted"), ("age_part", "Age, weighted"))
_METRICS = (
    ("accuracy", "Stars exactly right"),
    ("qwk", "Quadratic kappa"),
    ("mae_stars", "Error, stars"),
    ("age_mae", "Error of age, years"),
    ("age_r2", "R² of age"),
)


@dataclass(frozen=True)
class Line:
    """One loss: its name, its points for `<polyline>`, its newest value."""

    key: str
    name: str
    points: str
    latest: str


@dataclass(frozen=True)
class Tick:
    """A mark on the upright axis."""

    y: float
    label: str


@dataclass(frozen=True)
class Drawn:
    """The curves of one training."""

    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    newest: StepView
    n_steps: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, bool, tuple[str, ...]], ...]


def drawn_curves(db: Session, job: JobView) -> Drawn | None:
    """The curves of a training; None for another kind of job and before the first step."""
    if job.kind is not JobKind.TRAIN:
        return None
    curves = trainings.curves(db, job.id, max_points=MAX_POINTS)
    return _draw(curves) if curves.steps else None


def _draw(curves: Curves) -> Drawn:
    series = {key: _smoothed([getattr(step, key) for step in curves.steps]) for key, _ in _LINES}
    top = max(max(values) for values in series.values()) or 1.0
    first, last = curves.steps[0].step, curves.steps[-1].step
    width = WIDTH - LEFT
    xs = [LEFT + width * (step.step - first) / max(last - first, 1) for step in curves.steps]
    known = [(key, label) for key, label in _METRICS if any(key in e.metrics for e in curves.evaluations)]
    return Drawn(
        lines=tuple(
            Line(
                key.replace("_", "-"),
                name,
                " ".join(f"{x:.1f},{_y(value, top):.1f}" for x, value in zip(xs, series[key], strict=True)),
                f"{getattr(curves.steps[-1], key):.3f}",
            )
            for key, name in _LINES
        ),
        ticks=tuple(Tick(round(_y(share * top, top), 1), f"{share * top:.2f}") for share in (0.0, 0.5, 1.0)),
        newest=curves.steps[-1],
        n_steps=curves.n_steps,
        columns=tuple(label for _, label in known),
        rows=tuple(_row(evaluation, known) for evaluation in curves.evaluations),
    )


def _row(evaluation: EvaluationView, known: list[tuple[str, str]]) -> tuple[str, bool, tuple[str, ...]]:
    return str(evaluation.epoch + 1), evaluation.is_best, tuple(_figure(evaluation.metrics.get(k)) for k, _ in known)


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "\N{EN DASH}"


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - BOTTOM - TOP) * (1 - value / top)


def _smoothed(values: list[float]) -> list[float]:
    """Trailing means: what is drawn at a step never looks at later ones."""
    n = max(1, round(len(values) * SMOOTHED_OVER))
    return [sum(values[max(0, i - n + 1) : i + 1]) / min(i + 1, n) for i in range(len(values))]
