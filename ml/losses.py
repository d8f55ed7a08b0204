"""The losses of the two heads; a missing label adds nothing to its head."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that every PyTorch reader expects

EMD_WEIGHT = 0.5


def rating_loss(logits: Tensor, ratings: Tensor) -> Tensor:
    """Cross entropy plus half the squared earth mover's distance, mean over the labelled reviews.

    The second term makes five stars for a one-star text cost more than two stars do; cross entropy alone does not.

    Args:
        logits: (batch, 5) float.
        ratings: (batch,) float stars 1 to 5, NaN where unlabelled.

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
    emd = (predicted - wanted).square().sum(-1).mean()
    return F.cross_entropy(kept, stars) + EMD_WEIGHT * emd


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
