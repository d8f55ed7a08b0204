"""The losses of the two heads; a missing label adds nothing to its head."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that every PyTorch reader expects

from ml.metrics import N_STARS

EMD_WEIGHT = 0.5


def rating_loss(logits: Tensor, ratings: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross entropy plus half the squared earth mover's distance, mean over the labelled reviews.

    The second term makes five stars for a one-star text cost more than two stars do; cross entropy alone does not.

    Args:
        logits: (batch, 5) float.
        ratings: (batch,) float stars 1 to 5, NaN where unlabelled.
        class_weights: (5,) how much a review of 1 to 5 stars counts in the mean; all alike if None.

    Source: Hou, Yu & Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks" (2016),
        eq. 4 with l = 2, summed over the classes.
    """
    labelled = ~ratings.isnan()
    if not labelled.any():
        return logits.sum() * 0.0  # keeps the graph, adds nothing
    kept = logits[labelled].float()
    stars = ratings[labelled].long() - 1
    predicted = kept.softmax(-1).cumsum(-1)
    wanted = F.one_hot(stars, kept.shape[-1]).to(kept.dtype).cumsum(-1)
    distances = (predicted - wanted).square().sum(-1)
    if class_weights is None:
        return F.cross_entropy(kept, stars) + EMD_WEIGHT * distances.mean()
    weights = class_weights[stars]
    emd = (weights * distances).sum() / weights.sum()
    return F.cross_entropy(kept, stars, class_weights) + EMD_WEIGHT * emd


def inverse_frequency(ratings: Tensor) -> Tensor:
    """Return (5,) float32 class weights, inverse to how often each star was given; 1 on average over the rows.

    A class that nobody gave has weight 0: no row will ask for it.

    Args:
        ratings: (n,) float stars of the training rows, NaN where unlabelled; at least one is known.

    Source: King & Zeng, "Logistic Regression in Rare Events Data" (2001); as `class_weight="balanced"` in scikit-learn.
    """
    stars = ratings[~ratings.isnan()].long() - 1
    counts = torch.bincount(stars, minlength=N_STARS).float()
    n_present = int((counts > 0).sum())
    return torch.where(counts > 0, len(stars) / (n_present * counts.clamp(min=1)), 0.0)


def uncertainty_part(loss: Tensor, log_variance: Tensor) -> Tensor:
    """Weigh a head's loss by its learnt uncertainty: the loss over the variance, plus the logarithm of the deviation.

    Args:
        loss: scalar; for the age head half the squared error, as in the source.
        log_variance: scalar, learnt.

    Source: Kendall, Gal & Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses" (2018), eq. 5 and 10.
    """
    return (-log_variance).exp() * loss + 0.5 * log_variance


def age_loss(predicted: Tensor, ages: Tensor) -> Tensor:
    """Half the mean squared error of standardised ages over the labelled reviews.

    That is the negative log likelihood of a normal of unit scale, less its constant, so that a head weight of 1 puts
    both heads on the scale of nats.

    Args:
        predicted: (batch,) float, standard units.
        ages: (batch,) float, standard units, NaN where unlabelled.

    Source: Bishop, "Pattern Recognition and Machine Learning" (2006), eq. 3.11 and 3.12.
    """
    labelled = ~ages.isnan()
    if not labelled.any():
        return predicted.sum() * 0.0  # keeps the graph, adds nothing
    return 0.5 * F.mse_loss(predicted[labelled].float(), ages[labelled].to(torch.float32))
