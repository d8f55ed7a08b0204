"""The two-headed network: one shared DistilBERT encoder, stars and age."""

from dataclasses import dataclass, field

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, DistilBertConfig, DistilBertModel
from transformers.models.distilbert.modeling_distilbert import DistilBertPreTrainedModel
from transformers.utils.generic import ModelOutput

from ml.losses import age_loss, rating_loss
from ml.metrics import N_STARS
from ml.wide import WideAge

N_QUERIES = 3


@strict
class HemlineConfig(DistilBertConfig):  # type: ignore[no-untyped-call] # transformers is typed in part only
    """A DistilBERT shape and what turns its outputs into stars and years.

    Attributes:
        backbone: the encoder that training started from.
        max_length: word pieces read of a review.
        wide_skip_ids: word pieces that the wide age term does not count.
        rating_weight: weight of the rating head's loss in the total.
        age_weight: weight of the age head's loss.
        age_mean: years, of the training rows.
        age_scale: years per standard unit, of the training rows.
        temperature: divides the rating logits. Source: Guo et al., "On Calibration of Modern Neural Networks" (2017).
        interval_low: intercept and slope of the interval's lower width in years; see `ml.calibration`.
        interval_high: the same of its upper width.
    """

    model_type = "hemline"

    backbone: str = "minilm-l6"
    max_length: int = 128
    wide_skip_ids: list[int] = field(default_factory=lambda: [0, 100, 101, 102, 103])
    rating_weight: float = 1.0
    age_weight: float = 2.0
    age_mean: float = 43.0
    age_scale: float = 12.0
    temperature: float = 1.0
    interval_low: list[float] = field(default_factory=lambda: [20.0, 0.0])
    interval_high: list[float] = field(default_factory=lambda: [20.0, 0.0])


@dataclass
class ReviewsOutput(ModelOutput):
    """What the network says of a batch.

    Attributes:
        loss: the weighted sum of the two below, or None where no labels were given.
        rating_loss: of the rating head, unweighted.
        age_loss: of the age head, unweighted.
        rating_logits: (batch, 5), before the temperature.
        age: (batch,) standard units.
    """

    loss: Tensor | None = None
    rating_loss: Tensor | None = None
    age_loss: Tensor | None = None
    rating_logits: Tensor | None = None
    age: Tensor | None = None


class Pooling(nn.Module):
    """Sums up a review's hidden states: their mean, and three attention-weighted means with learned queries.

    Each head has its own, since the words that tell stars are not those that tell age.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.queries = nn.Linear(dim, N_QUERIES, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool (batch, length, dim) to (batch, 4·dim), each place counting for its share in mask (batch, length).

        The shares are 1 where a piece stands and 0 where none does; an explanation uses those between as well.
        """
        scores = self.queries(hidden).transpose(1, 2)
        scores = torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1)
        weights = (scores + mask.to(scores.dtype).log()[:, None, :]).softmax(-1)
        return (weights @ hidden).flatten(1)


class DistilBertForReviews(DistilBertPreTrainedModel):  # type: ignore[no-untyped-call] # transformers is typed in part only
    """Reads a review and gives logits for 1 to 5 stars and the writer's standardised age."""

    config: HemlineConfig
    config_class = HemlineConfig

    def __init__(self, config: HemlineConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.rating_pooling = Pooling(config.dim)
        self.age_pooling = Pooling(config.dim)
        self.rating_head = nn.Linear((N_QUERIES + 1) * config.dim, N_STARS)
        self.age_head = nn.Linear((N_QUERIES + 1) * config.dim, 1)
        self.wide_age = WideAge(vocab_size=config.vocab_size, special_ids=config.wide_skip_ids)
        self.post_init()  # type: ignore[no-untyped-call] # transformers is typed in part only

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        ratings: Tensor | None = None,
        ages: Tensor | None = None,
        age_offset: Tensor | None = None,
    ) -> ReviewsOutput:
        """Score a batch.

        Args:
            input_ids: (batch, length) int64.
            attention_mask: (batch, length), 1 where a word piece stands; everywhere if None.
            ratings: (batch,) float stars, NaN where unlabelled.
            ages: (batch,) float standard units, NaN where unlabelled.
            age_offset: (batch,) standard units, taken in place of the wide term while training.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.distilbert(input_ids=input_ids, attention_mask=mask).last_hidden_state
        rating_logits, deep_age = self.heads(hidden, mask)
        age = deep_age.float() + (self.wide_age(input_ids) if age_offset is None else age_offset)
        output = ReviewsOutput(rating_logits=rating_logits.float(), age=age)
        if ratings is not None:
            output.rating_loss = rating_loss(rating_logits, ratings)
        if ages is not None:
            output.age_loss = age_loss(age, ages)
        if output.rating_loss is not None and output.age_loss is not None:
            output.loss = self.config.rating_weight * output.rating_loss + self.config.age_weight * output.age_loss
        return output

    def heads(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the encoder's hidden states into rating logits (batch, 5) and the deep part of the age (batch,)."""
        hidden = hidden.to(self.rating_head.weight.dtype)  # serving may hold the encoder alone in bfloat16
        rating_logits = self.rating_head(self.dropout(self.rating_pooling(hidden, mask)))
        deep_age = self.age_head(self.dropout(self.age_pooling(hidden, mask))).squeeze(-1)
        return rating_logits, deep_age


def register() -> None:
    """Teach `AutoConfig` and `AutoModel` the model type; harmless when repeated."""
    AutoConfig.register(HemlineConfig.model_type, HemlineConfig, exist_ok=True)
    AutoModel.register(HemlineConfig, DistilBertForReviews, exist_ok=True)
