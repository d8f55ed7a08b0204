"""Curves of trainings, and what a training may be asked for."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, get_args

import pytest

from ml.plan import RANGES, BackboneName, ClassWeighting, Method, TrainingPlan, Weighting
from store import jobs, trainings
from store.database import Database, now
from store.errors import TrainParamsError
from store.schema import Job
from store.train_params import TrainParams, parse
from store.trainings import NewEvaluation, NewStep

STEP = NewStep(
    step=1,
    epoch=0,
    rating_loss=1.1,
    age_loss=0.3,
    rating_part=1.1,
    age_part=0.6,
    total=1.1 + 0.6,
    learning_rate=1e-3,
    examples_per_s=80.5,
)


def steps(first: int, last: int, *, age_part: float = 0.6) -> list[NewStep]:
    return [
        replace(STEP, step=number, age_part=age_part, total=STEP.rating_part + age_part)
        for number in range(first, last + 1)
    ]


@pytest.fixture
def job_id(database: Database) -> str:
    with database.begin() as session:
        job = Job(
            id=jobs.new_job_id(), kind="train", state="queued", queue="train", params={}, total=1, created_by="somebody"
        )
        job.created_at = now(session)
        session.add(job)
        return job.id


def read(database: Database, job_id: str, **options: int) -> trainings.Curves:
    with database.read() as session:
        return trainings.curves(session, job_id, **options)


def test_steps_come_back_as_they_were_and_add_up_exactly(database: Database, job_id: str) -> None:
    with database.begin() as session:
        trainings.record_steps(session, job_id, [])
        trainings.record_steps(session, job_id, [STEP])
    (said,) = read(database, job_id).steps
    assert {name: getattr(said, name) for name in vars(STEP)} == vars(STEP)
    assert said.total == said.rating_part + said.age_part


def test_a_repeated_step_replaces_the_earlier_one_and_leaves_the_others(database: Database, job_id: str) -> None:
    for batch in (steps(1, 6), steps(4, 5, age_part=9.0), steps(4, 5, age_part=9.0)):
        with database.begin() as session:
            trainings.record_steps(session, job_id, batch)
    said = read(database, job_id)
    assert [step.step for step in said.steps] == [1, 2, 3, 4, 5, 6]
    assert [step.age_part for step in said.steps] == [0.6, 0.6, 0.6, 9.0, 9.0, 0.6]


def test_a_long_curve_is_thinned_out_evenly_and_ends_with_the_newest_step(database: Database, job_id: str) -> None:
    with database.begin() as session:
        trainings.record_steps(session, job_id, steps(1, 1001))
    for max_points in (1, 7, 100, 1000, 5000):
        said = read(database, job_id, max_points=max_points)
        numbers = [step.step for step in said.steps]
        assert len(numbers) <= max_points
        assert len(numbers) > min(max_points, 1001) / 2
        assert numbers[-1] == 1001
        assert len({after - before for before, after in pairwise(numbers)}) <= 1
        assert said.n_steps == 1001


def test_one_evaluation_is_the_best_and_a_repeat_replaces(database: Database, job_id: str) -> None:
    def evaluated(step: int, *, is_best: bool, qwk: float) -> None:
        with database.begin() as session:
            trainings.record_evaluation(session, job_id, NewEvaluation(step, step // 10, {"qwk": qwk}, is_best))

    evaluated(10, is_best=True, qwk=0.5)
    evaluated(20, is_best=True, qwk=0.7)
    evaluated(30, is_best=False, qwk=0.6)
    evaluated(30, is_best=False, qwk=0.65)
    said = read(database, job_id).evaluations
    assert [(one.step, one.is_best, one.metrics["qwk"]) for one in said] == [
        (10, False, 0.5),
        (20, True, 0.7),
        (30, False, 0.65),
    ]


def test_a_resumed_training_forgets_what_came_after_its_checkpoint(database: Database, job_id: str) -> None:
    with database.begin() as session:
        trainings.record_steps(session, job_id, steps(1, 9))
        for step in (4, 8):
            trainings.record_evaluation(session, job_id, NewEvaluation(step, 0, {}, is_best=False))
        trainings.forget_after(session, job_id, 5)
    said = read(database, job_id)
    assert [step.step for step in said.steps] == [1, 2, 3, 4, 5]
    assert [one.step for one in said.evaluations] == [4]


def test_a_job_that_never_trained_has_empty_curves(database: Database, job_id: str) -> None:
    assert read(database, job_id) == trainings.Curves((), (), 0)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({}, "dataset_id: Field required"),
        ({"dataset_id": "3"}, "dataset_id: "),
        ({"dataset_id": 3, "epochs": 0}, "epochs: .*greater than or equal to 1"),
        ({"dataset_id": 3, "epochs": 1.5}, "epochs: "),
        ({"dataset_id": 3, "encoder_lr": float("nan")}, "encoder_lr: "),
        ({"dataset_id": 3, "backbone": "gpt"}, "backbone: .*minilm-l6"),
        ({"dataset_id": 3, "path": "/etc"}, "path: Extra inputs are not permitted"),
        ({"dataset_id": 3, "rating_weight": 0, "age_weight": 0}, "must not both be 0"),
    ],
)
def test_a_wrong_parameter_is_named(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TrainParamsError, match=complaint):
        parse(params)


def test_what_was_left_out_is_not_chosen() -> None:
    chosen = parse({"dataset_id": 3, "epochs": 2, "age_weight": 0}).choices()
    assert (chosen["epochs"], chosen["age_weight"]) == (2, 0)
    assert "batch_size" not in chosen
    assert "dataset_id" not in chosen


def test_names_ranges_and_choices_are_those_of_a_plan() -> None:
    schema = TrainParams.model_json_schema()["properties"]
    offered = set(TrainParams.model_fields) - {"dataset_id"}
    assert offered <= {field.name for field in fields(TrainingPlan)}
    for name in offered & set(RANGES):
        number = next((one for one in schema[name].get("anyOf", []) if "minimum" in one), schema[name])
        assert (number["minimum"], number["maximum"]) == (RANGES[name].low, RANGES[name].high), name
    choices = {"backbone": BackboneName, "method": Method, "weighting": Weighting, "class_weighting": ClassWeighting}
    for name, known in choices.items():
        annotation = TrainParams.model_fields[name].annotation
        values = {value for part in (annotation, *get_args(annotation)) for value in get_args(part)}
        assert {value for value in values if isinstance(value, str)} == {str(value) for value in known}
