import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from ml import network
from ml.backbones import Backbone
from ml.network import DistilBertForReviews, Pooling
from ml.text import ReviewText, encode, pad

REVIEWS = [ReviewText("Lovely", "soft and warm"), ReviewText(None, "returned it, the zip broke " * 6)]


def inputs(backbone: Backbone, reviews: list[ReviewText] = REVIEWS) -> dict[str, Tensor]:
    ids, mask = pad(encode(backbone.tokenizer(), reviews).ids)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def test_padding_changes_no_answer(small_model: DistilBertForReviews, small_backbone: Backbone) -> None:
    with torch.inference_mode():
        together = small_model(**inputs(small_backbone))
        for row, review in enumerate(REVIEWS):
            alone = small_model(**inputs(small_backbone, [review]))
            assert torch.allclose(alone.rating_logits[0], together.rating_logits[row], atol=1e-5)
            assert torch.allclose(alone.age[0], together.age[row], atol=1e-5)


def test_pooling_is_the_mean_and_softmax_weighted_means() -> None:
    torch.manual_seed(0)
    pooling, hidden = Pooling(4), torch.randn(1, 3, 4)
    mask = torch.tensor([[1, 1, 0]])
    present = hidden[0, :2]
    by_hand = [present.mean(0), *((present @ query).softmax(0) @ present for query in pooling.queries.weight)]
    assert torch.allclose(pooling(hidden, mask)[0], torch.cat(by_hand), atol=1e-6)


def test_the_loss_is_the_weighted_sum_of_both(small_model: DistilBertForReviews, small_backbone: Backbone) -> None:
    small_model.config.rating_weight, small_model.config.age_weight = 0.7, 3.0
    output = small_model(
        **inputs(small_backbone), ratings=torch.tensor([5.0, math.nan]), ages=torch.tensor([math.nan, 0.5])
    )
    assert output.loss.item() == pytest.approx(0.7 * output.rating_loss.item() + 3.0 * output.age_loss.item())


def test_the_wide_term_adds_to_the_deep_age_and_an_offset_replaces_it(
    small_model: DistilBertForReviews, small_backbone: Backbone
) -> None:
    batch = inputs(small_backbone)
    with torch.inference_mode():
        wide = small_model.wide_age(batch["input_ids"])
        whole = small_model(**batch).age
        deep = small_model(**batch, age_offset=torch.zeros(2)).age
    assert wide.abs().min() > 0
    assert torch.allclose(whole, deep + wide, atol=1e-6)


def test_a_saved_model_comes_back_the_same_through_plain_transformers(
    small_model: DistilBertForReviews, small_backbone: Backbone, tmp_path: Path
) -> None:
    network.register()
    network.register()
    small_model.config.temperature = 1.25
    small_model.config.interval_low = [15.0, 0.25]
    small_model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(again, DistilBertForReviews)
    assert again.config.temperature == 1.25
    assert again.config.interval_low == [15.0, 0.25]
    assert again.config.age_mean == small_model.config.age_mean
    with torch.inference_mode():
        ours, theirs = small_model(**inputs(small_backbone)), again(**inputs(small_backbone))
    # Not bit for bit: where a tensor lies in memory decides how its sums are split.
    torch.testing.assert_close(theirs.rating_logits, ours.rating_logits)
    torch.testing.assert_close(theirs.age, ours.age)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
