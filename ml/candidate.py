"""From a table of reviews to a complete model version: train, calibrate, judge, write."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import artifact, backbones, baselines, card, evaluation, training
from ml.artifact import Manifest
from ml.backbones import Backbone
from ml.baselines import Baselines
from ml.calibration import fit_interval, fit_temperature
from ml.data import Part, ReviewTable, split
from ml.errors import DataError
from ml.inference import Predictor, readings
from ml.network import DistilBertForReviews
from ml.plan import Method, TrainingPlan
from ml.scoring import score
from ml.text import encode
from ml.training import StepReport

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


def make(
    table: ReviewTable,
    plan: TrainingPlan,
    *,
    data_sha256: str,
    backbone_folder: Path | None = None,
    on_step: Callable[[StepReport], None],
) -> Candidate:
    """Train on the training rows, calibrate on the calibration rows, judge on the test rows.

    Args:
        table: all labelled reviews; each falls into one part by its words.
        plan: the choices.
        data_sha256: of the file that the table was read from, for the manifest.
        backbone_folder: where `distilbert-base-uncased` lies, if not in the hub's cache.
        on_step: hears of every step, and may raise to stop.

    Raises:
        DataError: too few reviews or labels.
        BackboneUnavailableError: the pretrained weights are out of reach.
    """
    if len(table) < FEWEST_ROWS:
        raise DataError(f"training needs at least {FEWEST_ROWS} reviews with text, found {len(table)}")
    parts = split(table, split_seed=plan.split_seed)
    backbone = backbones.load(plan.backbone, folder=backbone_folder, seed=plan.seed)
    rivals = baselines.fit(table.take(parts[Part.TRAIN]), table.take(parts[Part.CALIBRATION]))
    model = fit(table.take(parts[Part.TRAIN]), plan, backbone, on_step=on_step)
    if plan.method is Method.LORA:
        training.merge_adapters(model)
    calibrate(model, backbone, table.take(parts[Part.CALIBRATION]))
    manifest = describe(plan, parts, data_sha256=data_sha256)
    record = judge(model, backbone, table.take(parts[Part.TEST]), rivals)
    return Candidate(model, backbone.tokenizer_json, rivals, record, manifest)


def fit(
    table: ReviewTable, plan: TrainingPlan, backbone: Backbone, *, on_step: Callable[[StepReport], None]
) -> DistilBertForReviews:
    """Train a model on every row of the table; adapters, where the plan has them, stay beside the encoder."""
    ids = encode(backbone.tokenizer(), table.reviews, max_length=plan.max_length).ids
    model, examples = training.prepare(plan, backbone, ids, ratings=table.ratings, ages=table.ages)
    if plan.method is Method.LORA:
        training.add_adapters(model, rank=plan.lora_rank)
    run = training.Run(model, examples, plan)
    for _ in range(plan.epochs):
        run.epoch(on_step)
    return model


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


def describe(plan: TrainingPlan, parts: dict[Part, NDArray[np.int64]], *, data_sha256: str) -> Manifest:
    """Name a version after its backbone and moment, and say what it was made of."""
    now = datetime.now(UTC)
    data: dict[str, Any] = {"sha256": data_sha256, "split_seed": plan.split_seed}
    return Manifest(
        version=f"{plan.backbone}-{now:%Y%m%dT%H%M%S}-s{plan.seed}",
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
