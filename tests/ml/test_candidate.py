from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml import artifact, baselines, candidate
from ml.backbones import Backbone
from ml.candidate import FEWEST_ROWS
from ml.data import ReviewTable
from ml.errors import DataError
from ml.inference import readings
from ml.plan import BackboneName, Method, TrainingPlan
from ml.trainer import Watch
from tests.ml.conftest import in_float32, made_up_reviews

PLAN = TrainingPlan(backbone=BackboneName.TINY, batch_size=16, epochs=3, encoder_lr=5e-3, head_lr=5e-3)


@pytest.fixture(autouse=True)
def _a_small_encoder(small_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny network (2 layers, width 16) for speed."""
    monkeypatch.setattr("ml.backbones.load", lambda *_args, **_kwargs: small_backbone)


@pytest.mark.parametrize("method", list(Method))
def test_what_is_written_answers_as_what_was_judged(method: Method, tmp_path: Path) -> None:
    table = made_up_reviews(300)
    made = candidate.make(table, replace(PLAN, method=method), data_sha256="ab" * 32, watch=Watch())
    manifest = candidate.write(made, tmp_path / "version")

    assert artifact.verify(tmp_path / "version") == manifest
    assert artifact.read_evaluation(tmp_path / "version") == made.record
    assert manifest.training["method"] == str(method)
    assert sum(manifest.data[f"n_{part}"] for part in ("train", "validation", "calibration", "test")) == len(table)
    test = table.take(candidate.split(table)[candidate.Part.TEST])
    predictor = in_float32(tmp_path / "version")
    again = candidate.evaluation.evaluate(
        test, readings(predictor.predict(test.reviews)), baselines.load(tmp_path / "version")
    )
    assert again["rating"]["accuracy"] == made.record["rating"]["accuracy"]
    assert again["age"]["mae"] == pytest.approx(made.record["age"]["mae"], abs=1e-4)


def test_a_head_that_nobody_labelled_is_refused_before_training() -> None:
    table = made_up_reviews(120)
    unaged = ReviewTable(
        table.reviews, table.ratings, np.full(len(table), np.nan, np.float32), table.departments, table.class_names
    )
    with pytest.raises(DataError, match="rows with an age"):
        candidate.make(unaged, PLAN, data_sha256="", watch=Watch())


def test_too_few_reviews_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(DataError, match=f"at least {FEWEST_ROWS} reviews with text, found 12"):
        candidate.make(made_up_reviews(12), PLAN, data_sha256="", watch=Watch())


@pytest.mark.parametrize(
    ("ratings", "plan", "complaint"),
    [
        (np.nan, PLAN, "rows with a rating, found none"),
        (5.0, PLAN, "at least two different ratings, and all rated rows to train on give 5 stars"),
    ],
)
def test_stars_that_teach_nothing_are_refused_before_training(
    ratings: float, plan: TrainingPlan, complaint: str
) -> None:
    table = replace(made_up_reviews(120), ratings=np.full(120, ratings, np.float32))
    with pytest.raises(DataError, match=complaint):
        candidate.make(table, plan, data_sha256="", watch=Watch())


def test_a_table_without_any_text_is_refused_as_such() -> None:
    empty = replace(made_up_reviews(3).take([]), n_without_text=50)
    with pytest.raises(DataError, match="all 50 rows have none"):
        candidate.make(empty, PLAN, data_sha256="", watch=Watch())


@pytest.mark.parametrize("head", ["rating", "age"])
def test_a_head_without_labels_is_accepted_once_it_is_switched_off(head: str, tmp_path: Path) -> None:
    unlabelled = {f"{head}s": np.full(120, np.nan, np.float32)}
    plan = replace(PLAN, epochs=1, **{f"{head}_weight": 0.0})
    made = candidate.make(replace(made_up_reviews(120), **unlabelled), plan, data_sha256="", watch=Watch())
    candidate.write(made, tmp_path / "version")
    assert made.record[head]["reason"]
    assert made.record["age" if head == "rating" else "rating"]["n"] > 0
