"""Fine-tuning both heads, by LoRA or in full."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml import wide
from ml.backbones import Backbone
from ml.hardware import fast_dtype
from ml.network import DistilBertForReviews, HemlineConfig
from ml.objective import Objective
from ml.plan import TrainingPlan
from ml.text import pad

LORA_TARGETS = ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"]
GROUP_BATCHES = 50
"""Batches whose reviews are sorted together: enough for little padding, few enough to leave an epoch shuffled."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Training rows, encoded.

    Attributes:
        ids: word pieces.
        ratings: (n,) float32 stars, NaN where unlabelled.
        ages: (n,) float32 standard units, NaN where unlabelled.
        age_offsets: (n,) float32 standard units: cross-fitted predictions of the wide term.
    """

    ids: list[list[int]]
    ratings: NDArray[np.float32]
    ages: NDArray[np.float32]
    age_offsets: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimizer step.

    Attributes:
        step: from 1.
        n_steps: of the whole training.
        epoch: from 0.
        rating_loss: of the rating head, unweighted.
        age_loss: of the age head, unweighted.
        rating_part: what the rating head adds to the total.
        age_part: what the age head adds.
        total: the sum of the two parts, exactly.
        learning_rate: of the encoder or its adapters.
        examples_per_s: reviews over the step's own duration.
    """

    step: int
    n_steps: int
    epoch: int
    rating_loss: float
    age_loss: float
    rating_part: float
    age_part: float
    total: float
    learning_rate: float
    examples_per_s: float


def config_of(backbone: Backbone, plan: TrainingPlan, *, age_mean: float, age_scale: float) -> HemlineConfig:
    """Return the two-headed network's configuration over a backbone's shape; ages in years."""
    shape = backbone.config.to_dict()
    return HemlineConfig(
        **{name: shape[name] for name in _SHAPE},
        backbone=str(plan.backbone),
        max_length=plan.max_length,
        rating_weight=float(plan.rating_weight),
        age_weight=float(plan.age_weight),
        age_mean=age_mean,
        age_scale=age_scale,
    )


def prepare(
    plan: TrainingPlan,
    backbone: Backbone,
    ids: list[list[int]],
    *,
    ratings: NDArray[np.float32],
    ages: NDArray[np.float32],
) -> tuple[DistilBertForReviews, Examples]:
    """Build the network on its backbone, fit the wide age term and standardise the ages, all on the given rows alone.

    Args:
        plan: the choices.
        backbone: the encoder.
        ids: word pieces of the training rows.
        ratings: (n,) stars, NaN where unlabelled.
        ages: (n,) years, NaN where unlabelled.
    """
    torch.manual_seed(plan.seed)
    known = ages[~np.isnan(ages)]
    age_mean = float(known.mean()) if len(known) else 43.0
    age_scale = max(float(known.std()), 1.0) if len(known) else 1.0
    config = config_of(backbone, plan, age_mean=age_mean, age_scale=age_scale)
    # Eager attention: in training it was faster than sdpa.
    model: DistilBertForReviews = DistilBertForReviews._from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation="eager"
    )
    model.distilbert.load_state_dict(backbone.weights)
    standard = ((ages - age_mean) / age_scale).astype(np.float32)
    fitted = wide.fit(
        ids, standard, vocab_size=config.vocab_size, special_ids=config.wide_skip_ids, seed=plan.split_seed
    )
    model.wide_age.set(fitted.weight, fitted.bias)
    return model, Examples(ids, ratings, standard, fitted.offsets)


_SHAPE = (
    "vocab_size",
    "max_position_embeddings",
    "n_layers",
    "n_heads",
    "dim",
    "hidden_dim",
    "dropout",
    "attention_dropout",
    "activation",
    "pad_token_id",
)


def add_adapters(model: DistilBertForReviews, *, rank: int) -> None:
    """Freeze the encoder and put low-rank adapters beside its matrices.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1.
    """
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - slow to import, and inference does without it

    lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LORA_TARGETS)
    model.distilbert = get_peft_model(model.distilbert, lora)  # type: ignore[assignment] # stands in until merged


def trained_state(model: DistilBertForReviews) -> dict[str, Tensor]:
    """Return what training made, by name: adapters or encoder, pooling, heads, and the wide term."""
    return {
        name: parameter.detach().clone().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or name.startswith("wide_age.")
    }


def merge_adapters(model: DistilBertForReviews) -> None:
    """Fold the adapters into the encoder's matrices, which leaves a plain model that computes the same."""
    model.distilbert = model.distilbert.merge_and_unload()  # type: ignore[operator] # peft's, see above


class Run:
    """A training in progress; its state: the model, the optimizer, the schedule, the step and torch's random state."""

    def __init__(self, model: DistilBertForReviews, examples: Examples, plan: TrainingPlan) -> None:
        self.model, self.examples, self.plan = model, examples, plan
        self.steps_per_epoch = -(-len(examples.ids) // plan.batch_size)
        self.n_steps = plan.epochs * self.steps_per_epoch
        self.step = 0
        self.objective = Objective(plan, examples.ratings).to(model.device)
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.parameters(), plan))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.autocast = fast_dtype(model.device)

    @property
    def is_between_epochs(self) -> bool:
        """Whether the last step ended an epoch, or none was made."""
        return self.step % self.steps_per_epoch == 0

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        named = dict(self.model.named_parameters()) | dict(self.objective.named_parameters(prefix="objective"))
        return {name: parameter for name, parameter in named.items() if parameter.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """Return all that training changes but the optimizer: see `trained_state`, and what the objective learnt."""
        learnt = {f"objective.{name}": value.detach().clone() for name, value in self.objective.named_parameters()}
        return trained_state(self.model) | learnt

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` or `trained_state` gave."""
        named = self.parameters() | dict(self.model.named_parameters())
        with torch.no_grad():
            for name, tensor in state.items():
                named[name].copy_(tensor)

    def _rate(self, step: int) -> float:
        """Linear warm-up to 1, then linear decay to 0 at the last step."""
        n_warm_up = max(1, round(self.plan.warm_up * self.n_steps))
        if step < n_warm_up:
            return (step + 1) / n_warm_up
        return max(0.0, (self.n_steps - step) / max(1, self.n_steps - n_warm_up))

    def steps(self) -> Iterator[StepReport]:
        """Train over what is left of the current epoch, a step for each report that is asked for."""
        epoch, first = divmod(self.step, self.steps_per_epoch)
        order = list(_order(self.examples.ids, plan=self.plan, epoch=epoch))
        self.model.train()
        for rows in order[first:]:
            yield self._train_step(rows, epoch)

    def _train_step(self, rows: Sequence[int], epoch: int) -> StepReport:
        started = time.perf_counter()
        device = self.model.device
        use_autocast = self.autocast is torch.bfloat16
        batch = _batch(self.examples, rows, device)
        ratings, ages = batch.pop("ratings"), batch.pop("ages")
        with torch.autocast(device.type, torch.bfloat16, enabled=use_autocast):
            output = self.model(**batch)
            losses = self.objective(output.rating_logits, output.age, ratings=ratings, ages=ages)
        losses.total.backward()
        rating, age = losses.rating.item(), losses.age.item()
        rating_part, age_part = self.objective.parts(rating, age)
        nn.utils.clip_grad_norm_(self.parameters().values(), self.plan.max_grad_norm)
        learning_rate = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return StepReport(
            step=self.step,
            n_steps=self.n_steps,
            epoch=epoch,
            rating_loss=rating,
            age_loss=age,
            rating_part=rating_part,
            age_part=age_part,
            total=rating_part + age_part,
            learning_rate=learning_rate,
            examples_per_s=len(rows) / (time.perf_counter() - started),
        )


def _batch(examples: Examples, rows: Sequence[int], device: torch.device) -> dict[str, Tensor]:
    padded, mask = pad([examples.ids[row] for row in rows])
    index = np.array(rows)
    arrays: dict[str, NDArray[Any]] = {
        "input_ids": padded,
        "attention_mask": mask,
        "ratings": examples.ratings[index],
        "ages": examples.ages[index],
        "age_offset": examples.age_offsets[index],
    }
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _order(ids: Sequence[Sequence[int]], *, plan: TrainingPlan, epoch: int) -> Iterator[list[int]]:
    """Yield an epoch's batches: shuffled, but of reviews of like length, so that little is padding."""
    random = np.random.default_rng([plan.seed, epoch])
    shuffled = random.permutation(len(ids)).tolist()
    size, group_size = plan.batch_size, GROUP_BATCHES * plan.batch_size
    batches: list[list[int]] = []
    for start in range(0, len(shuffled), group_size):
        group = sorted(shuffled[start : start + group_size], key=lambda row: len(ids[row]))
        batches.extend(group[first : first + size] for first in range(0, len(group), size))
    for position in random.permutation(len(batches)):
        yield batches[position]


def _parameter_groups(parameters: Mapping[str, nn.Parameter], plan: TrainingPlan) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in parameters.items():
        lr = plan.encoder_lr if name.startswith("distilbert.") else plan.head_lr
        decay = plan.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    return [{"params": parameters, "lr": lr, "weight_decay": decay} for (lr, decay), parameters in groups.items()]
