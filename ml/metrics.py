"""Figures of merit for both heads, in plain numpy; each takes labelled rows only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_STARS = 5
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
N_BINS = 10


@dataclass(frozen=True, slots=True)
class Readings:
    """What a model or a baseline says of n reviews; arrays, since every metric and resample runs over them.

    Attributes:
        probabilities: (n, 5), rows add up to 1.
        ages: (n,) years.
        age_low: (n,) years, lower end of the 90 % interval.
        age_high: (n,) years.
    """

    probabilities: Floats
    ages: Floats
    age_low: Floats
    age_high: Floats

    @property
    def stars(self) -> Ints:
        """(n,) most probable stars, 1 to 5."""
        best: Ints = self.probabilities.argmax(axis=1) + 1
        return best

    def take(self, rows: Ints) -> "Readings":
        """Return the given rows, in the given order."""
        return Readings(self.probabilities[rows], self.ages[rows], self.age_low[rows], self.age_high[rows])


def confusion(true: Ints, predicted: Ints) -> Ints:
    """Return (5, 5) counts; row: stars given, column: stars predicted (both 1 to 5)."""
    flat = np.bincount((true - 1) * N_STARS + (predicted - 1), minlength=N_STARS**2)
    return flat.reshape(N_STARS, N_STARS)


def accuracy(true: Ints, predicted: Ints) -> float:
    """Return the share of exact hits."""
    return float(np.mean(true == predicted))


def macro_f1(true: Ints, predicted: Ints) -> float:
    """Return the mean F1 of the classes that occur in truth or prediction."""
    matrix = confusion(true, predicted)
    support = matrix.sum(0) + matrix.sum(1)
    present = support > 0
    return float(np.mean(2 * np.diag(matrix)[present] / support[present]))


def qwk(true: Ints, predicted: Ints) -> float:
    """Return the quadratically weighted kappa: 1 perfect, 0 as good as chance, NaN where nothing varies.

    Source: Cohen, "Weighted kappa" (1968).
    """
    matrix = confusion(true, predicted).astype(np.float64)
    stars = np.arange(N_STARS)
    penalty = (stars[:, None] - stars[None, :]) ** 2
    by_chance = np.outer(matrix.sum(1), matrix.sum(0)) / matrix.sum()
    expected = float((penalty * by_chance).sum())
    return float("nan") if expected == 0 else 1 - float((penalty * matrix).sum()) / expected


def mae_stars(true: Ints, predicted: Ints) -> float:
    """Return the mean absolute error of the predicted class, in stars."""
    return float(np.mean(np.abs(true - predicted)))


def age_mae(true: Floats, predicted: Floats) -> float:
    """Return the mean absolute error in years."""
    return float(np.mean(np.abs(true - predicted)))


def age_rmse(true: Floats, predicted: Floats) -> float:
    """Return the root mean squared error in years."""
    return float(np.sqrt(np.mean((true - predicted) ** 2)))


def age_r2(true: Floats, predicted: Floats) -> float:
    """Return the share of the age's variance explained; NaN where the ages do not vary."""
    spread = float(np.sum((true - true.mean()) ** 2))
    return float("nan") if spread == 0 else 1 - float(np.sum((true - predicted) ** 2)) / spread


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure the model was, and how often it was right, per bin of the top class's probability; NaN where empty."""

    n: Ints
    confidence: Floats
    accuracy: Floats


def reliability(true: Ints, probabilities: Floats) -> Reliability:
    """Sort reviews into 10 equal-width bins of the top class's probability."""
    confidence = probabilities.max(axis=1)
    hit = (probabilities.argmax(axis=1) + 1 == true).astype(np.float64)
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(bins, minlength=N_BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            n,
            np.bincount(bins, weights=confidence, minlength=N_BINS) / n,
            np.bincount(bins, weights=hit, minlength=N_BINS) / n,
        )


def ece(true: Ints, probabilities: Floats) -> float:
    """Return the expected calibration error of the top class.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3.
    """
    bins = reliability(true, probabilities)
    return float(np.nansum(bins.n * np.abs(bins.confidence - bins.accuracy)) / len(true))
