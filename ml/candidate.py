"""From a table of reviews to a complete model version: train, calibrate, judge, write."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ml import artifact, backbones, baselines, card, evaluation, training
from ml.artifact import Manifest
from ml.backbones import Backbone
from ml.baselines import Baselines
from ml.calibration import fit_interval, fit_temperature
from ml.checkpoint import Checkpoints
from ml.data import Part, ReviewTable, split
from ml.errors import DataError
from ml.hardware import choose_device
from ml.inference import Predictor, readings
from ml.network import DistilBertForReviews
from ml.plan import Method, TrainingPlan
from ml.scoring import score
from ml.text import encode
from ml.trainer import Trainer, Watch
from ml.training import Run
from ml.validation import Held

FEWEST_ROWS = 40
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 512,
    "model_input_names": ["input_ids", "attention_mask"],
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained, calibrated and judged model, not yet on disk.

    Attributes:
        model: a plain network, adapters merged.
        tokenizer_json: its tokenizer.
        rivals: the baselines fitted on its training rows.
        record: its evaluation on the test rows.
        manifest: without files.
    """

    model: DistilBertForReviews
    tokenizer_json: str
    rivals: Baselines
    record: evaluation.Record
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a training runs, which changes nothing of what it means.

    Attributes:
        backbone_folder: where `distilbert-base-uncased` lies, if not in the hub's cache.
        checkpoints: a folder for this training's checkpoints, which it goes on from; none are written if None.
        checkpoint_every: steps between checkpoints within an epoch.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
    """

    backbone_folder: Path | None = None
    checkpoints: Path | None = None
    checkpoint_every: int | None = None
    device: str = "cpu"


def make(
    table: ReviewTable,
    plan: TrainingPlan,
    *,
    data_sha256: str,
    watch: Watch,
    version: str | None = None,
    surroundings: Surroundings | None = None,
) -> Candidate:
    """Train on the training rows, keep the best by the validation rows, calibrate and judge on rows of their own.

    Args:
        table: all labelled reviews; each falls into one part by its words.
        plan: the choices.
        data_sha256: of the file that the table was read from, for the manifest.
        watch: hears of every step and validation, and may stop or pause.
        version: its name; the backbone and the moment if None.
        surroundings: device and folders.

    Raises:
        DataError: too few reviews or labels.
        BackboneUnavailableError: the pretrained weights are out of reach.
        CheckpointError: the checkpoints are those of another training.
        PausedError: the watch wanted a pause.
    """
    around = surroundings or Surroundings()
    parts = split(table, split_seed=plan.split_seed)
    tables = {part: table.take(rows) for part, rows in parts.items()}
    check(table, tables, plan)
    backbone = backbones.load(plan.backbone, folder=around.backbone_folder, seed=plan.seed)
    watch.on_phase("fitting the baselines")
    rivals = baselines.fit(tables[Part.TRAIN], tables[Part.CALIBRATION])
    checkpoints = None
    if around.checkpoints is not None:
        identity = json.dumps({"plan": asdict(plan), "data": data_sha256, "n_rows": len(table)}, sort_keys=True)
        checkpoints = Checkpoints(around.checkpoints, identity=identity)
    run = prepare(tables[Part.TRAIN], plan, backbone, device=around.device)
    held = _held(tables[Part.VALIDATION], plan, backbone) if len(tables[Part.VALIDATION]) else None
    Trainer(run, watch, held=held, checkpoints=checkpoints, checkpoint_every=around.checkpoint_every).train()
    if plan.method is Method.LORA:
        training.merge_adapters(run.model)
    watch.on_phase("calibrating and judging")
    calibrate(run.model, backbone, tables[Part.CALIBRATION])
    manifest = describe(plan, parts, data_sha256=data_sha256, version=version)
    record = judge(run.model, backbone, tables[Part.TEST], rivals)
    return Candidate(run.model, backbone.tokenizer_json, rivals, record, manifest)


def check(table: ReviewTable, tables: Mapping[Part, ReviewTable], plan: TrainingPlan) -> None:
    """Refuse data that nothing can be learnt from, before anything is trained.

    Raises:
        DataError: too few rows, no text at all, or a head in use without labels; the text says what is missing.
    """
    if not len(table) and table.n_without_text:
        raise DataError(f"training needs reviews with text: all {table.n_without_text} rows have none")
    if len(table) < FEWEST_ROWS:
        raise DataError(f"training needs at least {FEWEST_ROWS} reviews with text, found {len(table)}")
    if not len(tables[Part.TEST]):
        raise DataError(f"none of the {len(table)} reviews falls into the test part: training needs more of them")
    train = tables[Part.TRAIN]
    stars = np.unique(train.ratings[~np.isnan(train.ratings)])
    if plan.rating_weight and not len(stars):
        raise DataError("training needs rows with a rating, found none: add ratings, or set rating_weight to 0")
    if plan.rating_weight and len(stars) == 1:
        raise DataError(
            "training needs rows with at least two different ratings, and all rated rows to train on give "
            f"{stars[0]:.0f} stars: add others, or set rating_weight to 0"
        )
    if plan.age_weight and np.isnan(train.ages).all():
        raise DataError("training needs rows with an age, found none: add ages, or set age_weight to 0")


def prepare(table: ReviewTable, plan: TrainingPlan, backbone: Backbone, *, device: str = "cpu") -> Run:
    """Return a run over every row of the table, at its first step; adapters stand beside the encoder where planned."""
    ids = encode(backbone.tokenizer(), table.reviews, max_length=plan.max_length).ids
    model, examples = training.prepare(plan, backbone, ids, ratings=table.ratings, ages=table.ages)
    if plan.method is Method.LORA:
        training.add_adapters(model, rank=plan.lora_rank)
    nn.Module.to(model, choose_device(device))
    return Run(model, examples, plan)


def fit(table: ReviewTable, plan: TrainingPlan, backbone: Backbone, *, watch: Watch) -> DistilBertForReviews:
    """Train a model on every row of the table to the last step; adapters stay beside the encoder."""
    run = prepare(table, plan, backbone)
    Trainer(run, watch).train()
    return run.model


def _held(table: ReviewTable, plan: TrainingPlan, backbone: Backbone) -> Held:
    ids = encode(backbone.tokenizer(), table.reviews, max_length=plan.max_length).ids
    return Held(ids, table.ratings, table.ages)


def calibrate(model: DistilBertForReviews, backbone: Backbone, table: ReviewTable) -> None:
    """Set the model's temperature and interval widths by rows that trained and chose nothing."""
    ids = encode(backbone.tokenizer(), table.reviews, max_length=model.config.max_length).ids
    scores = score(model, ids)
    rated, aged = ~np.isnan(table.ratings), ~np.isnan(table.ages)
    model.config.temperature = fit_temperature(scores.logits[rated], table.ratings[rated].astype(np.int64))
    widths = fit_interval(scores.ages[aged], table.ages[aged].astype(np.float64))
    model.config.interval_low, model.config.interval_high = list(widths.low), list(widths.high)


def judge(model: DistilBertForReviews, backbone: Backbone, table: ReviewTable, rivals: Baselines) -> evaluation.Record:
    """Evaluate a model in memory on a table that it has not seen."""
    predictor = Predictor(model, backbone.tokenizer(), version="")
    return evaluation.evaluate(table, readings(predictor.predict(table.reviews)), rivals)


def describe(
    plan: TrainingPlan, parts: dict[Part, NDArray[np.int64]], *, data_sha256: str, version: str | None = None
) -> Manifest:
    """Name a version, after its backbone and moment if not otherwise, and say what it was made of."""
    now = datetime.now(UTC)
    data: dict[str, Any] = {"sha256": data_sha256, "split_seed": plan.split_seed}
    return Manifest(
        version=version or f"{plan.backbone}-{now:%Y%m%dT%H%M%S}-s{plan.seed}",
        created=now.isoformat(timespec="seconds"),
        backbone=str(plan.backbone),
        training=asdict(plan),
        data=data | {f"n_{part}": len(rows) for part, rows in parts.items()},
    )


def write(candidate: Candidate, folder: Path) -> Manifest:
    """Write a complete model version, in place of whatever the folder held, all or nothing."""
    with artifact.replacing(folder) as staging:
        write_network(candidate.model, candidate.tokenizer_json, staging)
        candidate.rivals.save(staging)
        artifact.write_json(staging / artifact.EVALUATION, candidate.record)
        page = card.write(candidate.manifest, candidate.record, max_length=candidate.model.config.max_length)
        (staging / artifact.CARD).write_text(page, "utf-8")
        return artifact.seal(staging, candidate.manifest)


def write_network(model: DistilBertForReviews, tokenizer_json: str, folder: Path) -> None:
    """Write what Transformers needs to load the network and its tokenizer."""
    model.save_pretrained(folder)
    (folder / artifact.TOKENIZER).write_text(tokenizer_json, "utf-8")
    artifact.write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
