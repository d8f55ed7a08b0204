"""What training makes small: the losses of the two heads, weighted and added."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.losses import age_loss, inverse_frequency, rating_loss, uncertainty_part
from ml.plan import ClassWeighting, TrainingPlan, Weighting


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a batch, scalars: of each head, unweighted, and the total whose gradient is followed."""

    rating: Tensor
    age: Tensor
    total: Tensor


class Objective(nn.Module):
    """Turns a batch's outputs and labels into losses; holds what uncertainty weighting learns beside the model."""

    class_weights: Tensor | None

    def __init__(self, plan: TrainingPlan, ratings: NDArray[np.float32]) -> None:
        """Take the plan, and the (n,) stars of the training rows, which alone set the class weights."""
        super().__init__()
        self.plan = plan
        is_weighted = plan.class_weighting is ClassWeighting.INVERSE_FREQUENCY
        self.register_buffer("class_weights", inverse_frequency(torch.from_numpy(ratings)) if is_weighted else None)
        if plan.weighting is Weighting.UNCERTAINTY:
            self.rating_log_variance = nn.Parameter(torch.zeros(()))
            self.age_log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, predicted: Tensor, *, ratings: Tensor, ages: Tensor) -> Losses:
        """Compare outputs with labels.

        Args:
            logits: (batch, 5) of the rating head.
            predicted: (batch,) standardised ages.
            ratings: (batch,) stars, NaN where unlabelled.
            ages: (batch,) standardised, NaN where unlabelled.
        """
        rating = rating_loss(logits, ratings, self.class_weights)
        age = age_loss(predicted, ages)
        plan = self.plan
        rating_part, age_part = plan.rating_weight * rating, plan.age_weight * age
        if plan.weighting is Weighting.UNCERTAINTY:
            rating_part = uncertainty_part(rating, self.rating_log_variance) if plan.rating_weight else rating_part
            age_part = uncertainty_part(age, self.age_log_variance) if plan.age_weight else age_part
        return Losses(rating, age, rating_part + age_part)

    def parts(self, rating: float, age: float) -> tuple[float, float]:
        """Return what each head adds to the total at the present weights."""
        plan = self.plan
        if plan.weighting is Weighting.FIXED:
            return plan.rating_weight * rating, plan.age_weight * age
        return (
            _uncertain(rating, self.rating_log_variance) if plan.rating_weight else 0.0,
            _uncertain(age, self.age_log_variance) if plan.age_weight else 0.0,
        )


def _uncertain(loss: float, log_variance: Tensor) -> float:
    """As `uncertainty_part`, in double precision."""
    known = log_variance.item()
    return math.exp(-known) * loss + 0.5 * known
