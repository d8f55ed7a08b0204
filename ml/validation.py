"""How good a model in training is on rows that it does not learn from, and which of two states is better."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml import metrics
from ml.network import DistilBertForReviews
from ml.plan import TrainingPlan
from ml.scoring import score


@dataclass(frozen=True, slots=True)
class Held:
    """Validation rows, encoded.

    Attributes:
        ids: word pieces.
        ratings: (n,) float32 stars, NaN where unlabelled.
        ages: (n,) float32 years, NaN where unlabelled.
    """

    ids: list[list[int]]
    ratings: NDArray[np.float32]
    ages: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures on the validation rows; None where no row has the label, or where it does not vary."""

    accuracy: float | None = None
    qwk: float | None = None
    mae_stars: float | None = None
    age_mae: float | None = None
    age_r2: float | None = None

    def merit(self, plan: TrainingPlan) -> float | None:
        """Return the number by which the best state is chosen: the quadratic kappa of the stars plus the R² of age.

        Both are shares of what there was to find, 1 at best and 0 for a constant answer. A head that is switched off or
        cannot be judged adds nothing; None where neither can.
        """
        wanted = [(plan.rating_weight, self.qwk), (plan.age_weight, self.age_r2)]
        counted = [figure for weight, figure in wanted if weight and figure is not None]
        return sum(counted) if counted else None


def validate(model: DistilBertForReviews, held: Held) -> Metrics:
    """Judge a model; neither its training mode nor torch's random state is disturbed."""
    scores = score(model, held.ids)
    rated, aged = ~np.isnan(held.ratings), ~np.isnan(held.ages)
    figures: dict[str, float] = {}
    if rated.any():
        given, read = held.ratings[rated].astype(np.int64), scores.logits[rated].argmax(axis=1) + 1
        figures["accuracy"] = metrics.accuracy(given, read)
        figures["qwk"] = metrics.qwk(given, read)
        figures["mae_stars"] = metrics.mae_stars(given, read)
    if aged.any():
        stated = held.ages[aged].astype(np.float64)
        figures["age_mae"] = metrics.age_mae(stated, scores.ages[aged])
        figures["age_r2"] = metrics.age_r2(stated, scores.ages[aged])
    return Metrics(**{name: value for name, value in figures.items() if math.isfinite(value)})
