import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from ml.losses import age_loss, inverse_frequency, rating_loss, uncertainty_part


def test_the_rating_loss_is_cross_entropy_plus_half_the_hand_worked_emd() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1], [0.5, 0.5, 1e-9, 1e-9, 1e-9]]))
    stars = torch.tensor([4.0, 1.0])
    # Cumulative shares .1 .3 .7 .9 1 against 0 0 0 1 1, and .5 1 1 1 1 against 1 1 1 1 1.
    emd = ((0.01 + 0.09 + 0.49 + 0.01) + 0.25) / 2
    expected = cross_entropy(logits, stars.long() - 1).item() + 0.5 * emd
    assert rating_loss(logits, stars).item() == pytest.approx(expected, rel=1e-5)


def test_being_two_stars_off_costs_more_than_one() -> None:
    near, far = (torch.eye(5)[[stars - 1]] * 8 for stars in (4, 1))
    five = torch.tensor([5.0])
    assert rating_loss(near, five) + 0.9 < rating_loss(far, five)


def test_the_age_loss_is_half_of_torchs_mean_squared_error() -> None:
    said, ages = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])
    assert age_loss(said, ages).item() == pytest.approx(mse_loss(said, ages).item() / 2)


def test_unlabelled_reviews_add_nothing_and_get_no_gradient() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    said = torch.tensor([0.5, 9.0, 2.0], requires_grad=True)
    loss = rating_loss(logits, torch.tensor([1.0, math.nan, 3.0])) + age_loss(said, torch.tensor([0.0, math.nan, 1.0]))
    loss.backward()
    labelled = torch.tensor([0, 2])
    alone = rating_loss(logits[labelled], torch.tensor([1.0, 3.0])) + age_loss(said[labelled], torch.tensor([0.0, 1.0]))
    assert loss.item() == pytest.approx(alone.item())
    assert logits.grad is not None
    assert said.grad is not None
    assert logits.grad[1].abs().sum() == 0
    assert said.grad[1] == 0


def test_a_batch_without_labels_has_loss_zero_and_a_graph() -> None:
    logits, said = torch.zeros(2, 5, requires_grad=True), torch.zeros(2, requires_grad=True)
    nothing = torch.full((2,), math.nan)
    loss = rating_loss(logits, nothing) + age_loss(said, nothing)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None


def test_class_weights_weigh_as_in_torch_and_by_hand() -> None:
    logits, ratings = torch.randn(6, 5), torch.tensor([5.0, 5.0, 5.0, 1.0, 3.0, float("nan")])
    weights = inverse_frequency(ratings)
    assert weights.tolist() == pytest.approx([5 / 3, 0, 5 / 3, 0, 5 / 9])
    known = ratings[:5].long() - 1
    assert weights[known].mean().item() == pytest.approx(1)
    squared = (logits[:5].softmax(-1).cumsum(-1) - one_hot(known, 5).cumsum(-1)).square().sum(-1)
    emd = float(np.average(squared.numpy(), weights=weights[known].numpy()))
    expected = cross_entropy(logits[:5], known, weight=weights).item() + 0.5 * emd
    assert rating_loss(logits, ratings, weights).item() == pytest.approx(expected, rel=1e-5)
    assert rating_loss(logits, ratings, torch.ones(5)).item() == pytest.approx(rating_loss(logits, ratings).item())


def test_uncertainty_is_best_where_the_variance_is_twice_the_loss() -> None:
    """The minimum over s of exp(-s)·L + s/2 lies at s = ln 2L."""
    log_variance = torch.tensor(np.log(2 * 0.7), requires_grad=True)
    uncertainty_part(torch.tensor(0.7), log_variance).backward()
    assert log_variance.grad is not None
    assert log_variance.grad.item() == pytest.approx(0, abs=1e-6)
