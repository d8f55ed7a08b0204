"""The wide age term: a linear bag of word pieces and their n-grams, computed from the ids inside `forward`.

What a reviewer's words say of her age is lexical; a barely tuned encoder misses it. Source: Cheng et al., "Wide & Deep
Learning for Recommender Systems" (2016). The term is linear, so its part of an explanation is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.text import pad

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BUCKET_BITS = 17
"""2^17 buckets for bigrams and as many for trigrams; collisions among them cost nothing measurable."""
NORM = 6.0
"""Divides the bag so that a typical row, whose idf is about 6, has unit length."""
UNIGRAM_SCALE, BIGRAM_SCALE, TRIGRAM_SCALE = 1.7, 1.0, 0.5
RIDGE_ALPHA = 2.0
MIN_DOCUMENTS = 2
FOLDS = 10
_MULTIPLIER = 0x9E3779B1  # 2^32 over the golden ratio. Source: Knuth, TAOCP vol. 3, section 6.4.


def n_features(vocab_size: int) -> int:
    """Return how many weights the term has."""
    return vocab_size + (2 << BUCKET_BITS)


def bag(input_ids: Tensor, *, vocab_size: int, special_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """List the features of each review: its word pieces, bigrams and trigrams, none across a special piece.

    Args:
        input_ids: (batch, length) int64, padded.
        vocab_size: where the buckets of the bigrams begin.
        special_ids: pieces that are no words: padding, separators, unknown.

    Returns:
        Feature numbers (batch, about 3·length) int64, ascending in each row, and a bool mask of the same shape that
        is true once for each distinct feature. Padding changes neither the features nor their number.
    """
    grams = _grams(input_ids, vocab_size=vocab_size, special_ids=special_ids)
    features = torch.cat(grams, dim=1).sort(dim=1).values
    is_new = torch.ones_like(features, dtype=torch.bool)
    is_new[:, 1:] = features[:, 1:] != features[:, :-1]
    return features, is_new & (features != n_features(vocab_size))


def _grams(input_ids: Tensor, *, vocab_size: int, special_ids: Sequence[int]) -> list[Tensor]:
    """The features that begin at each place, of one, two and three pieces; `n_features` where there is none."""
    is_word = ~torch.isin(input_ids, torch.tensor(list(special_ids), device=input_ids.device))
    absent = n_features(vocab_size)
    grams = [torch.where(is_word, input_ids, absent)]
    hashed, whole = input_ids, is_word
    for order in (1, 2):
        if input_ids.shape[1] <= order:
            break
        hashed = (hashed[:, :-1] * _MULTIPLIER + input_ids[:, order:] + order) & 0x7FFFFFFF
        whole = whole[:, :-1] & is_word[:, order:]
        mixed = (hashed * _MULTIPLIER & 0xFFFFFFFF) >> (32 - BUCKET_BITS)
        first_bucket = vocab_size + (order - 1) * 2**BUCKET_BITS
        grams.append(torch.where(whole, mixed + first_bucket, absent))
    return grams


class WideAge(nn.Module):
    """Adds up the weights of a review's distinct features, in standard units of age.

    The weights carry scale and idf; a model that was never fitted holds zeros and adds nothing.
    """

    def __init__(self, *, vocab_size: int, special_ids: Sequence[int]) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.special_ids = tuple(special_ids)
        self.weight = nn.Parameter(torch.zeros(n_features(vocab_size)), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(1), requires_grad=False)

    def set(self, weight: NDArray[np.float16], bias: float) -> None:
        """Take fitted numbers."""
        self.weight.data.copy_(torch.from_numpy(weight.astype(np.float32)))
        self.bias.data.fill_(bias)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return (batch,) float32 offsets in standard units."""
        features, distinct = bag(input_ids, vocab_size=self.vocab_size, special_ids=self.special_ids)
        weights = self.weight.float()[features.clamp(max=self.weight.shape[0] - 1)] * distinct
        n_distinct = distinct.sum(1).clamp(min=1)
        return weights.sum(1) / (NORM * n_distinct.sqrt()) + self.bias.float()

    def shares(self, input_ids: Tensor) -> Tensor:
        """Say how much each piece of one review adds: (length,) standard units that sum to the term without its bias.

        A gram's weight goes in equal parts to its pieces, and to its places where it stands several times.
        """
        grams = _grams(input_ids[None], vocab_size=self.vocab_size, special_ids=self.special_ids)
        absent = n_features(self.vocab_size)
        features, numbers, n_times = torch.unique(torch.cat(grams, dim=1)[0], return_inverse=True, return_counts=True)
        is_there = features != absent
        weights = self.weight.float()[features.clamp(max=absent - 1)] * is_there / n_times
        each = (weights / (NORM * is_there.sum().clamp(min=1).sqrt()))[numbers]
        added = torch.zeros(len(input_ids), device=input_ids.device)
        for order, of_order in enumerate(each.split([gram.shape[1] for gram in grams])):
            for place in range(order + 1):
                added[place : place + len(of_order)] += of_order / (order + 1)
        return added


@dataclass(frozen=True, slots=True)
class WideFit:
    """The fitted term.

    Attributes:
        weight: (features,) float16, scale and idf folded in.
        bias: standard units.
        offsets: (n,) float32 cross-fitted predictions for the training rows: what the term would say of a row it had
            not seen. The deep part learns beside these; beside the fitted values it would learn to trust an
            overfitted term.
    """

    weight: NDArray[np.float16]
    bias: float
    offsets: NDArray[np.float32]


def fit(
    ids: Sequence[Sequence[int]],
    ages: NDArray[np.float32],
    *,
    vocab_size: int,
    special_ids: Sequence[int],
    seed: int,
) -> WideFit:
    """Fit the term by ridge regression on the labelled rows; the unlabelled get predictions as well.

    Args:
        ids: word pieces of the training rows.
        ages: (n,) standard units, NaN where unlabelled.
        vocab_size: size of the vocabulary that the ids come from.
        special_ids: pieces that are no words.
        seed: orders the folds.
    """
    counts = _matrix(ids, vocab_size=vocab_size, special_ids=special_ids)
    scale = _scale_and_idf(counts, vocab_size=vocab_size)
    scaled = counts.multiply(scale[None, :]).tocsr().astype(np.float32)
    labelled = np.flatnonzero(~np.isnan(ages))
    if len(labelled) < 2 * FOLDS:
        return WideFit(np.zeros(len(scale), np.float16), 0.0, np.zeros(len(ages), np.float32))
    coefficients, bias = _ridge(scaled[labelled], ages[labelled])
    offsets = (scaled @ coefficients + bias).astype(np.float32)
    order = np.random.default_rng(seed).permutation(labelled)
    edges = np.linspace(0, len(order), FOLDS + 1).astype(int)
    for start, end in pairwise(edges):
        held, rest = order[start:end], np.concatenate([order[:start], order[end:]])
        fold_coefficients, fold_bias = _ridge(scaled[rest], ages[rest])
        offsets[held] = scaled[held] @ fold_coefficients + fold_bias
    return WideFit((coefficients * scale).astype(np.float16), bias, offsets)


def _matrix(ids: Sequence[Sequence[int]], *, vocab_size: int, special_ids: Sequence[int]) -> "csr_matrix":
    from scipy.sparse import csr_matrix, vstack  # noqa: PLC0415 - inference does without scipy

    blocks = []
    for start in range(0, len(ids), 1024):
        padded, _ = pad(ids[start : start + 1024])
        features, distinct = bag(torch.from_numpy(padded), vocab_size=vocab_size, special_ids=special_ids)
        n_distinct = distinct.sum(1)
        values = (1 / (NORM * n_distinct.clamp(min=1).sqrt())).repeat_interleave(n_distinct)
        starts = np.concatenate([[0], n_distinct.cumsum(0).numpy()])
        shape = (len(padded), n_features(vocab_size))
        blocks.append(csr_matrix((values.numpy(), features[distinct].numpy(), starts), shape=shape))
    return vstack(blocks, format="csr")


def _scale_and_idf(counts: "csr_matrix", *, vocab_size: int) -> NDArray[np.float32]:
    """Source: smooth idf, ln((1 + n) / (1 + df)) + 1, as in scikit-learn's TfidfTransformer."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + counts.shape[0]) / (1 + documents)) + 1
    scale = np.full(counts.shape[1], BIGRAM_SCALE)
    scale[:vocab_size] = UNIGRAM_SCALE
    scale[vocab_size + 2**BUCKET_BITS :] = TRIGRAM_SCALE
    return np.where(documents >= MIN_DOCUMENTS, scale * idf, 0.0).astype(np.float32)


def _ridge(features: "csr_matrix", ages: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - inference does without scikit-learn

    ridge = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(features, ages)
    return ridge.coef_, float(ridge.intercept_)
