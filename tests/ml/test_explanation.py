import pytest
import torch

from ml.explanation import Explanation, explain
from ml.inference import Predictor, ReviewText
from ml.network import DistilBertForReviews
from ml.text import encode, encode_words
from tests.ml.test_inference import ODD

REVIEW = ReviewText("Don't buy", "It\u2019s itchy, runs huge and isn't worth the price. I returned it, unfortunately.")
MANY_POINTS = 64


def total(said: Explanation) -> tuple[float, float]:
    return (
        said.baseline.stars + sum(word.stars for word in said.words) + said.unexplained.stars,
        said.baseline.years + sum(word.years for word in said.words) + said.unexplained.years,
    )


@pytest.mark.parametrize("review", [REVIEW, *ODD, ReviewText(None, "")], ids=lambda review: review.text[:12])
def test_baseline_words_and_the_stated_error_add_up_to_the_prediction(
    small_predictor: Predictor, review: ReviewText
) -> None:
    prediction, said = small_predictor.explain(review)
    [alone] = small_predictor.predict([review])
    assert prediction.rating == alone.rating
    assert prediction.truncated == alone.truncated
    assert total(said) == pytest.approx((alone.expected_stars, alone.age), abs=1e-3)
    assert abs(said.unexplained.stars) < 0.02
    assert abs(said.unexplained.years) < 0.5


def test_more_points_leave_less_unexplained(small_predictor: Predictor) -> None:
    model, tokenizer = small_predictor._model, small_predictor._tokenizer
    with torch.no_grad():
        for parameter in model.distilbert.parameters():
            parameter.mul_(2)  # else so small a network is nearly linear
    coarse, fine = (explain(model, tokenizer, REVIEW, n_points=n).explanation.unexplained for n in (2, MANY_POINTS))
    assert abs(fine.stars) < abs(coarse.stars)
    assert abs(fine.years) < abs(coarse.years)
    assert abs(fine.stars) < 1e-3


def test_the_wide_term_alone_is_explained_exactly(
    small_model: DistilBertForReviews, small_predictor: Predictor
) -> None:
    with torch.no_grad():
        small_model.age_head.weight.zero_()
        small_model.wide_age.weight.zero_()
        tokenizer = small_predictor._tokenizer
        soft, dress = tokenizer.token_to_id("soft"), tokenizer.token_to_id("dress")
        small_model.wide_age.weight[soft] = 3.0
        small_model.wide_age.weight[dress] = -1.0
    _, said = small_predictor.explain(ReviewText(None, "soft soft dress"))
    # soft, dress, "soft soft", "soft dress", "soft soft dress": five features, so each weight over 6·√5
    unit = 12.0 / (6 * 5**0.5)
    assert [word.years for word in said.words] == pytest.approx([1.5 * unit, 1.5 * unit, -unit], abs=1e-5)
    assert said.unexplained.years == pytest.approx(0, abs=1e-5)
    assert sum(word.years for word in said.words) == pytest.approx(2 * unit, abs=1e-5)


def test_a_gram_counts_for_each_of_its_pieces(small_model: DistilBertForReviews) -> None:
    ids = torch.tensor([101, 3730, 4377, 3730, 4377, 102])
    shares = small_model.wide_age.shares(ids)
    whole = small_model.wide_age(ids[None])[0] - small_model.wide_age.bias[0]
    assert shares.sum().item() == pytest.approx(whole.item(), abs=1e-5)
    assert shares[0] == shares[-1] == 0


def test_the_same_review_is_explained_with_the_same_numbers(small_predictor: Predictor) -> None:
    assert small_predictor.explain(REVIEW) == small_predictor.explain(REVIEW)


def test_the_word_that_the_model_hates_speaks_against(small_predictor: Predictor) -> None:
    model, tokenizer = small_predictor._model, small_predictor._tokenizer
    with torch.no_grad():
        model.wide_age.weight.zero_()
        model.wide_age.weight[tokenizer.token_to_id("huge")] = -500.0
    _, said = small_predictor.explain(REVIEW)
    lowest = min(said.words, key=lambda word: word.years)
    assert REVIEW.text[lowest.start : lowest.end] == "huge"


def test_words_are_those_of_the_review_in_order(small_predictor: Predictor) -> None:
    _, said = small_predictor.explain(REVIEW)
    sources = {"title": REVIEW.title or "", "text": REVIEW.text}
    read = [sources[word.part][word.start : word.end] for word in said.words]
    assert read[:6] == ["Don't", "buy", "It\u2019s", "itchy", ",", "runs"]
    assert "unfortunately" in read
    assert "".join(read) == (REVIEW.title + REVIEW.text).replace(" ", "")  # type: ignore[operator]


@pytest.mark.parametrize("review", ODD, ids=lambda review: review.text[:12])
def test_spans_neither_overlap_nor_are_empty_and_the_pieces_are_those_that_are_read(
    small_predictor: Predictor, review: ReviewText
) -> None:
    tokenizer = small_predictor._tokenizer
    encoded, words = encode_words(tokenizer, review)
    assert encoded == encode(tokenizer, [review])
    end, n_chars = {"title": 0, "text": 0}, {"title": len(review.title or ""), "text": len(review.text)}
    for word in words:
        assert end[word.part] <= word.start < word.end <= n_chars[word.part]
        end[word.part] = word.end
    places = [place for word in words for place in word.pieces]
    assert places == [place for place, piece in enumerate(encoded.ids[0]) if piece not in {101, 102}]


def test_chinese_and_emoji_are_words_of_their_own(small_predictor: Predictor) -> None:
    text = "好看 😍😍 한국 dress"
    _, said = small_predictor.explain(ReviewText("", text))
    assert [text[word.start : word.end] for word in said.words] == ["好", "看", "😍😍", "한국", "dress"]
    assert {word.part for word in said.words} == {"text"}


def test_only_what_was_read_is_explained(small_predictor: Predictor) -> None:
    prediction, said = small_predictor.explain(ReviewText(None, "lovely dress " * 4_000))
    assert prediction.truncated
    assert len(said.words) == 126
