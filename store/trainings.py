"""What a training job said of itself while it learnt: its steps, its validations, and the curves drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from store.database import now
from store.schema import TrainingEvaluation, TrainingStep

MAX_POINTS = 1000
"""Steps of a curve at most: more than a screen has columns for."""


@dataclass(frozen=True)
class NewStep:
    """One optimizer step. `total` is `rating_part + age_part`; the losses are unweighted; steps count from 1."""

    step: int
    epoch: int
    rating_loss: float
    age_loss: float
    rating_part: float
    age_part: float
    total: float
    learning_rate: float
    examples_per_s: float


@dataclass(frozen=True)
class StepView(NewStep):
    """A recorded step."""

    at: datetime


@dataclass(frozen=True)
class NewEvaluation:
    """The model on the validation rows after a step; `is_best` takes that title from all others."""

    step: int
    epoch: int
    metrics: dict[str, Any]
    is_best: bool


@dataclass(frozen=True)
class EvaluationView(NewEvaluation):
    """A recorded evaluation."""

    at: datetime


@dataclass(frozen=True)
class Curves:
    """A training as it went.

    Attributes:
        steps: ascending, thinned out evenly; the newest is always among them.
        evaluations: all of them, ascending.
        n_steps: recorded steps, before they were thinned out.
    """

    steps: tuple[StepView, ...]
    evaluations: tuple[EvaluationView, ...]
    n_steps: int


def record_steps(session: Session, job_id: str, steps: Sequence[NewStep]) -> None:
    """Keep steps of a job; one that is known already is replaced, as after a resume."""
    if not steps:
        return
    numbers = [step.step for step in steps]
    session.execute(
        delete(TrainingStep).where(TrainingStep.job_id == job_id, TrainingStep.step.between(min(numbers), max(numbers)))
    )
    at = now(session)
    session.execute(insert(TrainingStep), [{"job_id": job_id, "at": at, **vars(step)} for step in steps])


def record_evaluation(session: Session, job_id: str, evaluation: NewEvaluation) -> None:
    """Keep an evaluation of a job; that of the same step is replaced."""
    session.execute(
        delete(TrainingEvaluation).where(
            TrainingEvaluation.job_id == job_id, TrainingEvaluation.step == evaluation.step
        )
    )
    if evaluation.is_best:
        session.execute(update(TrainingEvaluation).where(TrainingEvaluation.job_id == job_id).values(is_best=False))
    session.execute(insert(TrainingEvaluation).values(job_id=job_id, at=now(session), **vars(evaluation)))


def forget_after(session: Session, job_id: str, step: int) -> None:
    """Drop what a job said after a step: it is resumed there, and may end before it comes so far again."""
    for table in (TrainingStep, TrainingEvaluation):
        session.execute(delete(table).where(table.job_id == job_id, table.step > step))


def curves(session: Session, job_id: str, *, max_points: int = MAX_POINTS) -> Curves:
    """Read a job's curves, at most `max_points` (1 or more) steps of them."""
    first, last, n_steps = session.execute(
        select(func.min(TrainingStep.step), func.max(TrainingStep.step), func.count()).where(
            TrainingStep.job_id == job_id
        )
    ).one()
    steps: Sequence[TrainingStep] = ()
    if n_steps:
        stride = -(-(last - first + 1) // max_points)
        steps = session.scalars(
            select(TrainingStep)
            .where(TrainingStep.job_id == job_id, (last - TrainingStep.step) % stride == 0)
            .order_by(TrainingStep.step)
        ).all()
    evaluations = session.scalars(
        select(TrainingEvaluation).where(TrainingEvaluation.job_id == job_id).order_by(TrainingEvaluation.step)
    )
    return Curves(
        steps=tuple(StepView(**_columns(row)) for row in steps),
        evaluations=tuple(EvaluationView(**_columns(row)) for row in evaluations),
        n_steps=n_steps,
    )


def _columns(row: TrainingStep | TrainingEvaluation) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name != "job_id"}
