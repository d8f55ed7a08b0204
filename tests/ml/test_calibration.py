import numpy as np
import pytest

from ml.calibration import (
    MIN_ROWS,
    IntervalWidths,
    conformal_quantile,
    fit_interval,
    fit_temperature,
    interval,
    softmax,
)


def test_the_temperature_that_spoilt_the_logits_is_found() -> None:
    random = np.random.default_rng(0)
    honest = random.normal(scale=2, size=(5000, 5))
    shares = softmax(honest, temperature=1.0)
    stars = np.array([random.choice(5, p=row) for row in shares]) + 1
    assert fit_temperature(honest * 3, stars) == pytest.approx(3, rel=0.08)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 5.0, 30.0])
def test_a_temperature_never_changes_the_stars(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(scale=4, size=(500, 5))
    probabilities = softmax(logits, temperature=temperature)
    assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(500))


def test_huge_logits_do_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0, 0.0, 0.0, -1e4]]), temperature=0.5).tolist() == [[1, 0, 0, 0, 0]]


def test_without_rows_calibration_changes_nothing() -> None:
    assert fit_temperature(np.empty((0, 5)), np.empty(0, np.int64)) == 1.0
    assert fit_interval(np.empty(0), np.empty(0)) == IntervalWidths((20.0, 0.0), (20.0, 0.0))


def test_the_conformal_quantile_is_the_corrected_rank() -> None:
    scores = np.arange(1.0, 20.0)  # 19 scores: the ⌈20 · 0.9⌉ = 18th
    assert conformal_quantile(scores, 0.9) == 18.0
    assert conformal_quantile(np.array([3.0, 1.0]), 0.95) == 3.0


def skewed(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ages whose spread and skew change with the predicted age, as in the public data."""
    random = np.random.default_rng(seed)
    predicted = random.normal(43, 5, size=n)
    spread = np.clip(8 + 0.3 * (predicted - 30), 3, None)
    return predicted, np.clip(predicted + spread * (random.gamma(3, 0.6, size=n) - 1.8), 18, 99)


def test_the_interval_covers_nine_in_ten_overall_and_in_each_predicted_band() -> None:
    overall, bands = [], []
    for seed in range(20):
        widths = fit_interval(*skewed(1300, seed=seed))
        predicted, ages = skewed(4000, seed=seed + 100)
        low, high = interval(predicted, widths)
        covered = (ages >= low) & (ages <= high)
        overall.append(covered.mean())
        bands.append([covered[(predicted >= edge) & (predicted < edge + 10)].mean() for edge in (30, 40, 50)])
    assert 0.89 < np.mean(overall) < 0.915
    assert min(overall) > 0.87
    assert (np.mean(bands, axis=0) >= 0.85).all()  # the promise for each band, where the slope is real and halved


def test_widths_follow_the_predicted_age_only_where_there_are_rows_enough() -> None:
    many = fit_interval(*skewed(2000, seed=3))
    few = fit_interval(*skewed(MIN_ROWS - 1, seed=3))
    assert many.high[1] > 0.05
    assert few.high[1] == few.low[1] == 0


def test_an_interval_stays_among_human_ages_and_around_its_prediction() -> None:
    low, high = interval(np.array([15.0, 43.0, 95.0]), IntervalWidths((20.0, -2.0), (20.0, -2.0)))
    assert low.tolist() == [13.0, 23.0, 95.0]
    assert high.tolist() == [61.0, 63.0, 95.0]
