"""Which words moved the two heads: what each adds to what the model says of a review whose words are left out.

The deep part is explained by integrated gradients over *gates*: a gate multiplies the weight that all attention and
pooling gives to a word piece, so that 1 is the review and 0 leaves the piece out. All gates open together from 0 to 1,
and what a piece adds is its gate's share of the change (the Aumann-Shapley value). Between real reviews and embeddings
that belong to no word the network is far less smooth: docs/model.md has the figures. The wide age term is linear in its
features: its part is exact. Source: Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks" (2017).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ml.metrics import N_STARS
from ml.network import DistilBertForReviews
from ml.scoring import Scores
from ml.text import Encoded, ReviewText, encode_words

N_POINTS = 4
"""Gauss-Legendre points of the integral, one batch. docs/model.md has the error and the cost of others."""
POWER = 3
"""Gates open as the cube of the way: the answer changes fastest while the first words come in."""
DIGITS = 6
SPECIAL = ("[CLS]", "[SEP]")


@dataclass(frozen=True, slots=True)
class Amounts:
    """One number for each head: expected stars (calibrated) and years."""

    stars: float
    years: float


@dataclass(frozen=True, slots=True)
class WordWeight:
    """What one word adds: characters `start` to `end` of the title or of the text."""

    part: Literal["title", "text"]
    start: int
    end: int
    stars: float
    years: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the model says what it says: `baseline` + all words + `unexplained` is its answer, for each head.

    Attributes:
        words: in the order of the review; those that were not read are missing.
        baseline: the answer while every word is left out.
        unexplained: what the integral's few points miss.
    """

    words: tuple[WordWeight, ...]
    baseline: Amounts
    unexplained: Amounts


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, with the raw outputs that it explains."""

    encoded: Encoded
    scores: Scores
    explanation: Explanation


def explain(
    model: DistilBertForReviews, tokenizer: Tokenizer, review: ReviewText, *, n_points: int = N_POINTS
) -> Explained:
    """Read one review and explain what the model says of it; the same review gives the same numbers.

    Args:
        model: in evaluation mode, on any device.
        tokenizer: the model's.
        review: any text, the empty one included.
        n_points: of the integral; the cost rises with them.
    """
    config = model.config
    encoded, words = encode_words(tokenizer, review, max_length=config.max_length)
    ids = torch.tensor(encoded.ids[0], device=model.device)
    is_special = torch.isin(ids, torch.tensor([tokenizer.token_to_id(name) for name in SPECIAL], device=model.device))
    ends, added = _integrate(model, ids, is_special, n_points=n_points)
    with torch.no_grad():
        wide = torch.stack([model.wide_age.bias.float()[0], model.wide_age(ids[None])[0]])
        added[1] += model.wide_age.shares(ids) * config.age_scale
    ages = (ends.age + wide).double().cpu().numpy() * config.age_scale + config.age_mean
    stars = _expected_stars(ends.logits, temperature=config.temperature).cpu().numpy()
    baseline = Amounts(float(stars[0]), float(ages[0]))
    weights = tuple(
        WordWeight(word.part, word.start, word.end, *_rounded(added[:, list(word.pieces)].sum(1))) for word in words
    )
    unexplained = Amounts(
        float(stars[1]) - baseline.stars - sum(word.stars for word in weights),
        float(ages[1]) - baseline.years - sum(word.years for word in weights),
    )
    scores = Scores(ends.logits[1:].double().cpu().numpy(), ages[1:])
    return Explained(encoded, scores, Explanation(weights, baseline, unexplained))


@dataclass(frozen=True, slots=True)
class _DeepScores:
    """Logits (rows, 5) and ages (rows,) in standard units, without the wide term."""

    logits: Tensor
    age: Tensor


def _integrate(
    model: DistilBertForReviews, ids: Tensor, is_special: Tensor, *, n_points: int
) -> tuple[_DeepScores, Tensor]:
    """Return what the deep part says with all gates shut and open, and (2, length) what each piece adds to it.

    Stars come first, then years. The gates of special pieces are always open: they add nothing.
    """
    nodes, shares = np.polynomial.legendre.leggauss(n_points)  # on -1 to 1
    way = (nodes + 1) / 2
    portions = torch.from_numpy(shares / 2 * POWER * way ** (POWER - 1)).to(ids.device, torch.float32)
    opening = torch.from_numpy(way**POWER).to(ids.device, torch.float32)
    with torch.no_grad():
        embedded = model.distilbert.embeddings(ids[None])
        opened = _deep(model, embedded, torch.ones_like(ids[None], dtype=torch.float32))
        shut = _deep(model, embedded[:, is_special], torch.ones_like(ids[None, is_special], dtype=torch.float32))
        ends = _DeepScores(torch.cat([shut.logits, opened.logits]), torch.cat([shut.age, opened.age]))
    gates = torch.where(is_special, 1.0, opening[:, None]).requires_grad_()
    with torch.enable_grad():
        said = _deep(model, embedded, gates)
        stars = _expected_stars(said.logits, temperature=model.config.temperature).sum()
        years = said.age.sum() * model.config.age_scale
        slopes = torch.stack(
            [torch.autograd.grad(stars, gates, retain_graph=True)[0], torch.autograd.grad(years, gates)[0]]
        )
    return ends, torch.einsum("hpl,p->hl", slopes, portions) * ~is_special


def _deep(model: DistilBertForReviews, embedded: Tensor, gates: Tensor) -> _DeepScores:
    n_rows, length = gates.shape
    attention = gates.log().to(embedded.dtype)[:, None, None, :].expand(n_rows, 1, length, length)
    encoded = model.distilbert.transformer(embedded.expand(n_rows, -1, -1), attention_mask=attention)
    logits, age = model.heads(encoded.last_hidden_state, gates)
    return _DeepScores(logits.float(), age.float())


def _expected_stars(logits: Tensor, *, temperature: float) -> Tensor:
    stars = torch.arange(1, N_STARS + 1, device=logits.device, dtype=torch.float64)
    return (logits.double() / temperature).softmax(-1) @ stars


def _rounded(pair: Tensor) -> tuple[float, float]:
    stars, years = pair.tolist()
    return round(stars, DIGITS), round(years, DIGITS)
