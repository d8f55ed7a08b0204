"""Every choice of a training run. Light to import: the command line shows its help without loading PyTorch."""

import math
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from ml.errors import PlanError

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


class Weighting(StrEnum):
    """How the losses of the two heads become one."""

    FIXED = "fixed"
    UNCERTAINTY = "uncertainty"


class ClassWeighting(StrEnum):
    """How much a review counts for the rating head by the stars it gives."""

    NONE = "none"
    INVERSE_FREQUENCY = "inverse_frequency"


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a number may take, ends included."""

    low: float
    high: float


RANGES = {
    "epochs": Range(1, 200),
    "batch_size": Range(1, 1024),
    "encoder_lr": Range(1e-7, 0.1),
    "head_lr": Range(1e-7, 0.1),
    "max_length": Range(8, 512),
    "rating_weight": Range(0, 100),
    "age_weight": Range(0, 100),
    "warm_up": Range(0, 1),
    "weight_decay": Range(0, 1),
    "max_grad_norm": Range(1e-3, 1000),
    "lora_rank": Range(1, 256),
    "seed": Range(0, 2**31 - 1),
    "split_seed": Range(0, 2**31 - 1),
}
"""Of each number of a plan. The encoders have 512 positions; the other ends lie far beyond what ever helped."""


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
        weighting: fixed head weights, or weights learnt from the heads' uncertainty (a weight of 0 still switches off).
        class_weighting: whether rare stars count more.

    Raises:
        PlanError: a number is out of its range, or both heads are switched off.
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
    weighting: Weighting = Weighting.FIXED
    class_weighting: ClassWeighting = ClassWeighting.NONE

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name in RANGES):
            allowed, value = RANGES[name], getattr(self, name)
            if not (math.isfinite(value) and allowed.low <= value <= allowed.high):
                raise PlanError(name, f"must be from {allowed.low:g} to {allowed.high:g}, not {value:g}")
        if self.rating_weight == self.age_weight == 0:
            raise PlanError("rating_weight", "must not be 0 while age_weight is 0: nothing would be trained")


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


def plan_of(backbone: BackboneName, method: Method, *, seed: int = 0, **chosen: Any) -> TrainingPlan:
    """Return the recipe with the given fields in place of its own; None leaves the recipe's.

    Raises:
        PlanError: a number is out of its range, or both heads are switched off.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    return replace(recipe(backbone, method, seed=seed), **given)
