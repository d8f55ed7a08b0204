import math

import numpy as np
import pytest
import torch

from ml import wide
from ml.wide import BUCKET_BITS, NORM, WideAge, bag, n_features

VOCABULARY = 50
SPECIAL = (0, 1, 2)


def features_of(ids: list[int]) -> set[int]:
    features, distinct = bag(torch.tensor([ids]), vocab_size=VOCABULARY, special_ids=SPECIAL)
    kept = features[distinct].tolist()
    assert len(kept) == len(set(kept))
    return set(kept)


def kinds(features: set[int]) -> tuple[int, int, int]:
    buckets = 2**BUCKET_BITS
    unigrams = sum(number < VOCABULARY for number in features)
    bigrams = sum(VOCABULARY <= number < VOCABULARY + buckets for number in features)
    return unigrams, bigrams, len(features) - unigrams - bigrams


def test_each_distinct_gram_counts_once() -> None:
    # words 7 8 7 8 9: unigrams 7 8 9; bigrams 78 87 89; trigrams 787 878 789
    assert kinds(features_of([1, 7, 8, 7, 8, 9, 2])) == (3, 3, 3)


def test_no_gram_runs_across_a_special_piece() -> None:
    # title 7 8, body 9: one bigram, no trigram
    assert kinds(features_of([1, 7, 8, 2, 9, 2])) == (3, 1, 0)


def test_padding_changes_nothing() -> None:
    assert features_of([1, 7, 8, 9, 2]) == features_of([1, 7, 8, 9, 2, 0, 0, 0, 0])


def test_order_matters_to_bigrams_only() -> None:
    there, back = features_of([7, 8]), features_of([8, 7])
    assert {number for number in there if number < VOCABULARY} == {7, 8}
    assert len(there & back) == 2


def test_the_term_is_the_sum_worked_by_hand() -> None:
    term = WideAge(vocab_size=VOCABULARY, special_ids=SPECIAL)
    weight = np.random.default_rng(0).normal(size=n_features(VOCABULARY)).astype(np.float16)
    term.set(weight, 0.25)
    ids = [1, 7, 8, 2, 9, 9, 7, 2]
    features = features_of(ids)
    assert kinds(features) == (3, 3, 1)
    by_hand = sum(float(weight[number]) for number in features) / (NORM * math.sqrt(7)) + 0.25
    assert term(torch.tensor([ids, [1, 2, 0, 0, 0, 0, 0, 0]])).tolist() == pytest.approx([by_hand, 0.25], rel=1e-5)


@pytest.mark.parametrize("ids", [[1], [1, 2], [7], [0]])
def test_the_shortest_inputs_have_an_answer(ids: list[int]) -> None:
    term = WideAge(vocab_size=VOCABULARY, special_ids=SPECIAL)
    assert term(torch.tensor([ids])).tolist() == [0.0]


def test_the_fit_finds_words_of_age_and_its_offsets_are_those_of_unseen_rows() -> None:
    random = np.random.default_rng(1)
    words = random.integers(3, VOCABULARY, size=(600, 6))
    words[:, 0] = np.where(np.arange(600) % 2, 40, 41)
    noise = random.normal(scale=0.3, size=600)
    ages = (np.where(np.arange(600) % 2, 1.0, -1.0) + noise).astype(np.float32)
    ages[-1] = np.nan
    fitted = wide.fit(words.tolist(), ages, vocab_size=VOCABULARY, special_ids=SPECIAL, seed=0)
    term = WideAge(vocab_size=VOCABULARY, special_ids=SPECIAL)
    term.set(fitted.weight, fitted.bias)
    seen = term(torch.from_numpy(words)).numpy()
    error_seen = np.nanmean((seen - ages) ** 2)
    error_unseen = np.nanmean((fitted.offsets - ages) ** 2)
    assert error_seen < error_unseen < 0.4 * np.nanvar(ages)
    assert np.isfinite(fitted.offsets).all()


def test_a_gram_of_one_document_has_no_weight() -> None:
    rows = [[5, 6]] * 30 + [[7, 8]]
    ages = np.linspace(-1, 1, 31).astype(np.float32)
    fitted = wide.fit(rows, ages, vocab_size=VOCABULARY, special_ids=SPECIAL, seed=0)
    assert fitted.weight[5] != 0
    assert fitted.weight[7] == 0
