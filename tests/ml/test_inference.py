from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ml.errors import DamagedModelError, ModelError
from ml.hardware import BF16_FLAGS, isa
from ml.inference import Prediction, Predictor, ReviewText
from ml.scoring import batches_by_length
from tests.ml.conftest import made_up_reviews

ODD = [
    ReviewText("Größe", "Sehr schön 😍😍, naïve café ﷽"),
    ReviewText("", "no title"),
    ReviewText(None, "x"),
    ReviewText("only a title", ""),
    ReviewText("t" * 500, "w" * 50_000),
    ReviewText(None, "lovely dress " * 4_000),
    ReviewText(None, "[SEP] [MASK] <script>"),
]


def assert_close(one: Prediction, other: Prediction) -> None:
    assert one.rating_probabilities == pytest.approx(other.rating_probabilities, abs=1e-4)
    assert one.age == pytest.approx(other.age, abs=1e-3)
    assert one.truncated == other.truncated


def test_a_batch_answers_what_single_calls_answer_in_the_order_asked(small_predictor: Predictor) -> None:
    reviews = [*made_up_reviews(60).reviews, *ODD]
    together = small_predictor.predict(reviews)
    assert len(together) == len(reviews)
    for review, answer in zip(reviews, together, strict=True):
        assert_close(small_predictor.predict([review])[0], answer)


def test_predictions_are_consistent_in_themselves(small_predictor: Predictor) -> None:
    for one in small_predictor.predict([*made_up_reviews(30).reviews, *ODD]):
        assert sum(one.rating_probabilities) == pytest.approx(1)
        assert one.rating_probabilities[one.rating - 1] == max(one.rating_probabilities)
        expected = sum(stars * share for stars, share in enumerate(one.rating_probabilities, 1))
        assert one.expected_stars == pytest.approx(expected)
        assert 13 <= one.age_low <= one.age <= one.age_high <= 100


def test_only_what_was_cut_is_called_truncated(small_predictor: Predictor) -> None:
    long, short = small_predictor.predict([ReviewText(None, "dress " * 127), ReviewText(None, "dress " * 126)])
    assert long.truncated
    assert not short.truncated


def test_nothing_asked_nothing_answered(small_predictor: Predictor) -> None:
    assert small_predictor.predict([]) == []


def test_progress_is_told_after_each_batch_and_others_may_be_served_between(small_predictor: Predictor) -> None:
    reviews = made_up_reviews(700).reviews
    urgent, progress = ReviewText("Now", "please"), list[int]()
    served = list[Prediction]()

    def between(n_done: int) -> None:
        progress.append(n_done)
        served.extend(small_predictor.predict([urgent]))

    answers = small_predictor.predict(reviews, between)
    assert len(progress) > 1
    assert progress == sorted(set(progress))
    assert progress[-1] == 700
    assert_close(served[0], small_predictor.predict([urgent])[0])
    assert_close(answers[0], small_predictor.predict([reviews[0]])[0])


def test_an_exception_between_batches_ends_the_work(small_predictor: Predictor) -> None:
    calls = list[int]()

    def stop(n_done: int) -> None:
        calls.append(n_done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_predictor.predict(made_up_reviews(700).reviews, stop)
    assert len(calls) == 1
    assert small_predictor.predict([ReviewText(None, "still works")])


def test_batches_keep_to_the_token_budget_and_hold_every_review_once() -> None:
    ids = [[1] * length for length in [3, 700, 50, 50, 51, 2, 128]]
    batches = list(batches_by_length(ids, max_tokens=256))
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(len(ids[row]) for row in batch) <= 256


def test_a_version_is_loaded_and_says_what_runs(version_folder: Path) -> None:
    predictor = Predictor.load(version_folder, device="cpu")
    predictor.warm_up()
    description = predictor.description
    assert (description.model_version, description.engine, description.device) == ("small", "torch", "cpu")
    assert description.dtype == ("bfloat16" if isa() in BF16_FLAGS else "float32")
    assert description.threads >= 1
    with pytest.raises(FrozenInstanceError):
        description.device = "other"  # type: ignore[misc]


def test_a_damaged_version_is_not_loaded(version_folder: Path) -> None:
    weights = version_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedModelError, match=r"model\.safetensors"):
        Predictor.load(version_folder)


def test_a_folder_that_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model version"):
        Predictor.load(tmp_path / "absent")
