import math

import numpy as np
import pytest
from sklearn import metrics as reference

from ml import metrics

RANDOM = np.random.default_rng(0)
TRUE = RANDOM.integers(1, 6, size=400)
SAID = np.clip(TRUE + RANDOM.integers(-2, 3, size=400), 1, 5)
AGES = RANDOM.normal(43, 12, size=400)
GUESSED = AGES + RANDOM.normal(0, 8, size=400)


def test_rating_metrics_are_scikit_learns() -> None:
    assert metrics.accuracy(TRUE, SAID) == pytest.approx(reference.accuracy_score(TRUE, SAID))
    assert metrics.macro_f1(TRUE, SAID) == pytest.approx(reference.f1_score(TRUE, SAID, average="macro"))
    assert metrics.qwk(TRUE, SAID) == pytest.approx(reference.cohen_kappa_score(TRUE, SAID, weights="quadratic"))
    assert metrics.mae_stars(TRUE, SAID) == pytest.approx(reference.mean_absolute_error(TRUE, SAID))
    assert metrics.confusion(TRUE, SAID).tolist() == reference.confusion_matrix(TRUE, SAID).tolist()


def test_age_metrics_are_scikit_learns() -> None:
    assert metrics.age_mae(AGES, GUESSED) == pytest.approx(reference.mean_absolute_error(AGES, GUESSED))
    assert metrics.age_rmse(AGES, GUESSED) == pytest.approx(reference.root_mean_squared_error(AGES, GUESSED))
    assert metrics.age_r2(AGES, GUESSED) == pytest.approx(reference.r2_score(AGES, GUESSED))


def test_macro_f1_leaves_out_stars_that_nobody_gave_or_got() -> None:
    true, said = np.array([5, 5, 1]), np.array([5, 5, 1])
    assert metrics.macro_f1(true, said) == 1.0


def test_the_calibration_error_worked_by_hand() -> None:
    sure, unsure = [0.05, 0.0, 0.0, 0.0, 0.95], [0.35, 0.65, 0.0, 0.0, 0.0]
    probabilities = np.array([sure, sure, unsure, unsure])
    true = np.array([5, 1, 2, 2])  # the first bin is right half the time, the second always
    assert metrics.ece(true, probabilities) == pytest.approx((2 * 0.45 + 2 * 0.35) / 4)


def test_certainty_falls_into_the_last_bin() -> None:
    bins = metrics.reliability(np.array([3]), np.array([[0.0, 0.0, 1.0, 0.0, 0.0]]))
    assert bins.n.tolist() == [0] * 9 + [1]
    assert math.isnan(bins.confidence[0])


def test_what_does_not_vary_has_no_kappa_and_no_r2() -> None:
    same = np.array([5, 5, 5])
    assert math.isnan(metrics.qwk(same, same))
    assert math.isnan(metrics.age_r2(np.array([40.0, 40.0]), np.array([41.0, 39.0])))
