"""Running a network over many encoded reviews: sorted by length, in batches of a token budget."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ml.metrics import N_STARS
from ml.network import DistilBertForReviews
from ml.text import pad

MAX_BATCH_TOKENS = 1024
"""Padded word pieces per batch. On a CPU 4,096 is no faster, and an urgent review waits four times as long for it."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Raw outputs, in the order of the input; arrays, since calibration and evaluation are a measured hot path.

    Attributes:
        logits: (n, 5) float64, before the temperature.
        ages: (n,) float64 years.
    """

    logits: NDArray[np.float64]
    ages: NDArray[np.float64]


def batches_by_length(
    ids: Sequence[Sequence[int]], *, max_tokens: int = MAX_BATCH_TOKENS
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers, shortest reviews first, each batch at most `max_tokens` when padded (one review at least)."""
    lengths = np.array([len(row) for row in ids])
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable"):
        if batch and (len(batch) + 1) * lengths[row] > max_tokens:
            yield np.array(batch)
            batch = []
        batch.append(int(row))
    if batch:
        yield np.array(batch)


def score(
    model: DistilBertForReviews,
    ids: Sequence[Sequence[int]],
    *,
    between_batches: Callable[[int], None] | None = None,
) -> Scores:
    """Run the network in evaluation mode.

    Args:
        model: on any device; its training mode is restored afterwards.
        ids: word pieces of each review.
        between_batches: called with the number of reviews done after each batch; it may raise to abort, or score
            other reviews with the same model.
    """
    logits = np.empty((len(ids), N_STARS))
    ages = np.empty(len(ids))
    n_done = 0
    was_training = model.training
    model.eval()  # type: ignore[no-untyped-call] # transformers is typed in part only
    try:
        for rows in batches_by_length(ids):
            logits[rows], ages[rows] = _score_batch(model, [ids[row] for row in rows])
            n_done += len(rows)
            if between_batches is not None:
                between_batches(n_done)
    finally:
        model.train(was_training)
    return Scores(logits, ages * model.config.age_scale + model.config.age_mean)


def _score_batch(
    model: DistilBertForReviews, ids: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    padded, mask = (torch.from_numpy(array).to(model.device) for array in pad(ids))
    with torch.inference_mode():
        output = model(input_ids=padded, attention_mask=mask)
    return output.rating_logits.double().cpu().numpy(), output.age.double().cpu().numpy()
