"""Every choice of a training run. Light to import: the command line shows its help without loading PyTorch."""

from dataclasses import dataclass
from enum import StrEnum

MAX_LENGTH = 128
"""Word pieces kept of a review, specials included; about 11 % of the public reviews are longer and lose their end."""


class BackboneName(StrEnum):
    """The encoders on offer."""

    MINILM = "minilm-l6"
    DISTILBERT = "distilbert-base-uncased"
    TINY = "tiny"


class Method(StrEnum):
    """What of the encoder is trained."""

    LORA = "lora"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Every choice of a training run; two runs of one plan on one machine give the same model.

    Attributes:
        backbone: where to start from.
        method: low-rank adapters or all weights.
        epochs: passes over the training rows.
        encoder_lr: peak learning rate of the encoder or its adapters.
        head_lr: peak learning rate of pooling and heads.
        rating_weight: of the rating head's loss.
        age_weight: of the age head's loss.
        batch_size: reviews per step.
        warm_up: share of the steps over which the learning rate rises.
        weight_decay: on matrices; vectors have none.
        max_grad_norm: above which gradients are scaled down.
        lora_rank: of each adapter; alpha is twice the rank.
        max_length: word pieces read of a review.
        seed: of initial heads, order and dropout.
        split_seed: of the split; fixed, so that seeds are compared on the same rows.
    """

    backbone: BackboneName = BackboneName.MINILM
    method: Method = Method.LORA
    epochs: int = 3
    encoder_lr: float = 1e-3
    head_lr: float = 1e-3
    rating_weight: float = 1.0
    age_weight: float = 2.0
    batch_size: int = 32
    warm_up: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    lora_rank: int = 8
    max_length: int = MAX_LENGTH
    seed: int = 0
    split_seed: int = 0


def recipe(backbone: BackboneName, method: Method, *, seed: int = 0) -> TrainingPlan:
    """Return the measured recipe for a backbone and method.

    LoRA leaves the pretrained matrices alone and stands a high rate; full fine-tuning diverges there and overfits in
    its third epoch. `tiny` has nothing pretrained to protect.
    """
    match method, backbone:
        case Method.LORA, _:
            return TrainingPlan(backbone=backbone, seed=seed)
        case Method.FULL, BackboneName.TINY:
            return TrainingPlan(backbone=backbone, method=method, encoder_lr=1e-3, seed=seed)
        case _:
            return TrainingPlan(backbone=backbone, method=method, epochs=2, encoder_lr=1e-4, seed=seed)
