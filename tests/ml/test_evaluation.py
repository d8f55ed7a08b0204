import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ml import baselines, metrics
from ml.baselines import Baselines
from ml.data import ReviewTable
from ml.evaluation import AGE_BANDS, Record, evaluate
from ml.metrics import Readings
from tests.ml.conftest import made_up_reviews


@pytest.fixture(scope="module")
def rivals() -> Baselines:
    return baselines.fit(made_up_reviews(200), made_up_reviews(60, seed=1))


def good_readings(table: ReviewTable) -> Readings:
    """Right about most stars, wide enough about ages."""
    n = len(table)
    stars = np.nan_to_num(table.ratings, nan=3).astype(int)
    stars[::7] = 3
    probabilities = np.full((n, 5), 0.05)
    probabilities[np.arange(n), stars - 1] = 0.8
    ages = np.nan_to_num(table.ages, nan=40.0).astype(float) + 2
    return Readings(probabilities, ages, ages - 5, ages + 5)


@pytest.fixture(scope="module")
def record(rivals: Baselines) -> Record:
    table = made_up_reviews(80, seed=3)
    return evaluate(table, good_readings(table), rivals)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_the_record_holds_every_promised_figure_in_plain_python(record: Record) -> None:
    assert set(record["rating"]) >= {"accuracy", "macro_f1", "qwk", "mae_stars", "ece"}
    assert set(record["age"]) >= {
        "mae",
        "rmse",
        "r2",
        "coverage_90",
        "coverage_by_band",
        "coverage_by_true_band",
        "mean_interval_width",
    }
    assert set(record["baselines"]) == {"majority", "tfidf"}
    for rival in record["baselines"].values():
        assert set(rival["rating"]) == set(record["rating"])
        assert set(rival["age"]) == set(record["age"])
    assert {type(leaf) for leaf in leaves(record)} <= {int, float, str, type(None)}
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_figures_are_those_of_the_metrics_and_lie_in_their_intervals(record: Record) -> None:
    table = made_up_reviews(80, seed=3)
    said = good_readings(table)
    assert record["n"] == 80
    assert record["rating"]["accuracy"] == metrics.accuracy(table.ratings.astype(int), said.stars)
    assert record["age"]["coverage_90"] == 1.0
    assert record["age"]["mean_interval_width"] == pytest.approx(10.0)
    for head in ("rating", "age"):
        for name, ends in record["intervals"][head].items():
            if name != "ece":  # resampling adds noise that makes a calibration error larger
                assert ends[0] - 1e-9 <= record[head][name] <= ends[1] + 1e-9


def test_coverage_is_told_by_predicted_and_by_true_band(record: Record) -> None:
    assert tuple(record["age"]["coverage_by_band"]) == AGE_BANDS
    assert sum(record["age"]["n_by_band"].values()) == 80
    assert sum(record["age"]["n_by_true_band"].values()) == 80
    assert record["age"]["coverage_by_band"]["40-49"] in (None, 1.0)


def test_differences_from_the_words_are_paired(record: Record) -> None:
    gap = record["against_tfidf"]["age"]["mae"]
    assert gap["difference"] == pytest.approx(record["age"]["mae"] - record["baselines"]["tfidf"]["age"]["mae"])
    assert gap["interval"][0] <= gap["difference"] <= gap["interval"][1]


def test_small_groups_are_hidden(rivals: Baselines) -> None:
    table = made_up_reviews(30, seed=4)
    table = replace(table, departments=("Tops",) * 25 + ("Rare",) * 5)
    record = evaluate(table, good_readings(table), rivals)
    assert set(record["slices"]["department"]) == {"Tops"}
    assert record["slices"]["department"]["Tops"]["n"] == 25


def test_a_row_counts_for_the_heads_that_it_has_labels_for(rivals: Baselines) -> None:
    table = made_up_reviews(40, seed=5)
    table.ratings[:15] = np.nan
    table.ages[30:] = np.nan
    record = evaluate(table, good_readings(table), rivals)
    assert (record["n"], record["rating"]["n"], record["age"]["n"]) == (40, 25, 30)
    assert sum(map(sum, record["confusion"])) == 25


@pytest.mark.parametrize("missing", ["ratings", "ages"])
def test_a_head_without_labels_has_nulls_and_a_reason(rivals: Baselines, missing: str) -> None:
    table = made_up_reviews(40, seed=6)
    getattr(table, missing)[:] = np.nan
    record = evaluate(table, good_readings(table), rivals)
    blank, other = ("rating", "age") if missing == "ratings" else ("age", "rating")
    assert record[blank]["reason"].startswith("no row has")
    assert {value for value in record[blank].values() if isinstance(value, float)} == set()
    assert all(isinstance(record[other][name], float) for name in record["intervals"][other])
    assert "reason" not in record[other]
    json.dumps(record, allow_nan=False)


def test_stars_of_one_kind_have_no_kappa_but_a_record(rivals: Baselines) -> None:
    table = made_up_reviews(20, seed=7)
    table.ratings[:] = 5
    said = good_readings(table)
    said.probabilities[:] = [0.0, 0.0, 0.0, 0.0, 1.0]
    record = evaluate(table, said, rivals)
    assert record["rating"]["qwk"] is None
    assert record["intervals"]["rating"]["qwk"] is None
    assert record["rating"]["accuracy"] == 1.0
