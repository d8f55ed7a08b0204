"""A stars-only export for programs that know `AutoModelForSequenceClassification` and nothing of ages."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, DistilBertModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.distilbert.modeling_distilbert import DistilBertPreTrainedModel

from ml.inference import load_network
from ml.metrics import N_STARS
from ml.network import N_QUERIES, HemlineConfig, Pooling


class StarsConfig(HemlineConfig):  # type: ignore[no-untyped-call] # transformers is typed in part only
    """The same shape under its own model type."""

    model_type = "hemline-stars"


class DistilBertForStars(DistilBertPreTrainedModel):  # type: ignore[no-untyped-call] # as above
    """The encoder and the rating head: the same stars as the two-headed network, calibrated.

    `DistilBertForSequenceClassification` reads the first position through two dense layers and could not hold the
    pooling, so its answers would be others.
    """

    config: StarsConfig
    config_class = StarsConfig

    def __init__(self, config: StarsConfig) -> None:
        super().__init__(config)
        self.num_labels = N_STARS
        self.distilbert = DistilBertModel(config)
        self.rating_pooling = Pooling(config.dim)
        self.rating_head = nn.Linear((N_QUERIES + 1) * config.dim, N_STARS)
        self.post_init()  # type: ignore[no-untyped-call] # as above

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SequenceClassifierOutput:
        """Return (batch, 5) calibrated logits."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.distilbert(input_ids=input_ids, attention_mask=mask).last_hidden_state
        logits = self.rating_head(self.rating_pooling(hidden, mask)) / self.config.temperature
        return SequenceClassifierOutput(logits=logits)


def register() -> None:
    """Teach `AutoConfig` and `AutoModelForSequenceClassification` the model type; harmless when repeated."""
    AutoConfig.register(StarsConfig.model_type, StarsConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StarsConfig, DistilBertForStars, exist_ok=True)


def export_stars_only(folder: Path, into: Path) -> Path:
    """Write a model version's encoder and rating head as a model of its own, with its tokenizer.

    Args:
        folder: of the model version.
        into: the new folder.

    Returns:
        `into`, loadable by `AutoModelForSequenceClassification` after `register`.
    """
    network = load_network(folder)
    shape = network.config.to_dict()
    names = {f"{stars} stars" if stars > 1 else "1 star": stars - 1 for stars in range(1, N_STARS + 1)}
    kept = {name: value for name, value in shape.items() if name not in {"model_type", "architectures"}}
    config = StarsConfig(**kept | {"label2id": names, "id2label": {number: name for name, number in names.items()}})
    stars = DistilBertForStars(config)
    state = network.state_dict()
    stars.load_state_dict({name: state[name] for name in stars.state_dict()})
    stars.save_pretrained(into)
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(into)
    return into
