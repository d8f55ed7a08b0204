from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml import baselines
from ml.baselines import Baselines
from ml.errors import DataError
from ml.text import ReviewText
from tests.ml.conftest import made_up_reviews


@pytest.fixture(scope="module")
def fitted() -> Baselines:
    return baselines.fit(made_up_reviews(300), made_up_reviews(60, seed=1))


def test_the_majority_answers_every_review_alike(fitted: Baselines) -> None:
    train, said = made_up_reviews(300), fitted.majority(made_up_reviews(7, seed=2).reviews)
    commonest = np.bincount(train.ratings.astype(int)).argmax()
    assert set(said.stars) == {commonest}
    assert said.ages == pytest.approx(np.full(7, train.ages.mean()))
    assert (said.age_low < said.ages).all()


def test_the_words_beat_the_majority_where_words_tell(fitted: Baselines) -> None:
    table = made_up_reviews(200, seed=5)
    words, mode = fitted.tfidf(table.reviews), fitted.majority(table.reviews)
    assert np.mean(np.abs(words.stars - table.ratings)) < np.mean(np.abs(mode.stars - table.ratings)) / 2
    assert np.abs(words.ages - table.ages).mean() < np.abs(mode.ages - table.ages).mean() / 2


def test_what_is_read_back_answers_the_same(fitted: Baselines, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    again, reviews = baselines.load(tmp_path), made_up_reviews(20, seed=6).reviews
    assert np.array_equal(again.tfidf(reviews).probabilities, fitted.tfidf(reviews).probabilities)
    assert np.array_equal(again.tfidf(reviews).age_high, fitted.tfidf(reviews).age_high)
    assert np.array_equal(again.majority(reviews).age_low, fitted.majority(reviews).age_low)
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors", ".txt"}


def test_stars_that_nobody_gave_are_never_predicted() -> None:
    table = made_up_reviews(200)
    for wanted in ({1, 5}, {1, 2, 5}):
        rows = np.flatnonzero(np.isin(table.ratings, list(wanted)))
        said = baselines.fit(table.take(rows), made_up_reviews(40, seed=1)).tfidf(table.reviews)
        assert set(said.stars) <= wanted
        assert said.probabilities.sum(axis=1) == pytest.approx(np.ones(200))


def test_where_nothing_can_be_told_apart_every_review_gets_the_one_answer() -> None:
    table = made_up_reviews(50)
    fives = table.take(np.flatnonzero(table.ratings == 5))
    unaged = replace(fives, ages=np.full(len(fives), np.nan, np.float32))
    said = baselines.fit(unaged, unaged).tfidf(table.reviews)
    assert set(said.stars) == {5}
    assert set(said.ages) == {baselines.AGE_IF_UNKNOWN}


def test_reviews_that_share_no_word_are_a_data_error() -> None:
    table = replace(made_up_reviews(3), reviews=tuple(ReviewText(None, word) for word in ("one", "two", "three")))
    with pytest.raises(DataError, match="none occurs in two"):
        baselines.fit(table, table)
