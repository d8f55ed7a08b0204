"""Making the starter model: three seeds to know how good the recipe is; the first is shipped."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml import artifact, backbones, baselines, candidate, card, training
from ml.artifact import Manifest
from ml.backbones import Backbone
from ml.baselines import Baselines
from ml.data import Part, ReviewTable, read_csv, split
from ml.evaluation import Record
from ml.network import DistilBertForReviews, HemlineConfig
from ml.plan import TrainingPlan
from ml.starter import CONFIG, DATA, TRAINED, assemble
from ml.trainer import Watch
from ml.training import StepReport

log = logging.getLogger(__name__)

SEEDS = (0, 1, 2)


def build(
    csv: Path,
    *,
    work: Path,
    into: Path = DATA,
    seeds: Sequence[int] = SEEDS,
    on_step: Callable[[StepReport], None],
) -> Manifest:
    """Train, judge and write the starter; hours on a CPU.

    Every choice is frozen before: the recipe of `TrainingPlan`, nothing selected, the first seed shipped whatever the
    others reach. Each seed trains on the training rows and is judged on the test rows, so that the card's figures are
    those of the very weights that are shipped.

    Args:
        csv: labelled reviews.
        work: keeps what each run trained; a finished run is not repeated.
        into: the folder to write.
        seeds: of the judged runs.
        on_step: hears of every step of every run.
    """
    table, data_sha256 = read_csv(csv), artifact.sha256(csv)
    parts = split(table)
    backbone = backbones.load(TrainingPlan().backbone)
    train = table.take(parts[Part.TRAIN])
    # The recipe is fixed, so the validation rows choose nothing here and can calibrate as well.
    calibration = table.take(np.sort(np.concatenate([parts[Part.VALIDATION], parts[Part.CALIBRATION]])))
    workshop = Workshop(calibration=calibration, backbone=backbone, work=work, data_sha256=data_sha256, on_step=on_step)
    rivals = baselines.fit(train, calibration)
    test = table.take(parts[Part.TEST])
    runs, records = [], []
    for seed in seeds:
        runs.append(workshop.run(replace(TrainingPlan(), seed=seed), train))
        records.append(candidate.judge(runs[-1][0], backbone, test, rivals))
        log.info("seed %d on the test rows: %s", seed, {**records[-1]["rating"], **records[-1]["age"]})
    plan = replace(TrainingPlan(), seed=seeds[0])
    shipped, trained = runs[0]
    return write(
        into,
        model=shipped,
        trained=trained,
        rivals=rivals,
        record=summary(records, seeds),
        manifest=candidate.describe(plan, parts, data_sha256=data_sha256),
    )


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all runs of one build share, and where they keep their results."""

    calibration: ReviewTable
    backbone: Backbone
    work: Path
    data_sha256: str
    on_step: Callable[[StepReport], None]

    def run(self, plan: TrainingPlan, table: ReviewTable) -> tuple[DistilBertForReviews, dict[str, Tensor]]:
        """Return a run's calibrated, merged model and its trained tensors as shipped (float16)."""
        file = self.work / f"seed{plan.seed}.safetensors"
        identity = json.dumps({"plan": asdict(plan), "data": self.data_sha256, "n_rows": len(table)})
        kept = _kept_config(file, identity)
        if kept is None:
            model = candidate.fit(table, plan, self.backbone, watch=Watch(on_step=self.on_step))
            kept = model.config
            self.work.mkdir(parents=True, exist_ok=True)
            save_file(training.trained_state(model), file, {"identity": identity, "config": kept.to_json_string()})
        trained = {key: tensor.to(torch.float16) for key, tensor in load_file(file).items()}
        merged = assemble(trained, kept, self.backbone)
        candidate.calibrate(merged, self.backbone, self.calibration)
        return merged, trained


def _kept_config(file: Path, identity: str) -> HemlineConfig | None:
    """Return the configuration of a finished run of the same plan over the same rows, or None."""
    if not file.is_file():
        return None
    with safe_open(file, "pt") as stored:
        notes = stored.metadata() or {}
    return HemlineConfig(**json.loads(notes["config"])) if notes.get("identity") == identity else None


def summary(records: Sequence[Record], seeds: Sequence[int]) -> Record:
    """Return the first seed's record with mean and standard deviation over all seeds beside it."""
    over_seeds = {
        head: {
            name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
            for name in figures
            if (values := [record[head][name] for record in records])
        }
        for head, figures in {
            "rating": ("accuracy", "macro_f1", "qwk", "mae_stars", "ece"),
            "age": ("mae", "rmse", "r2", "coverage_90", "mean_interval_width"),
        }.items()
    }
    note = (
        f"Judged on {records[0]['n']} test rows that trained and chose nothing. These weights are those of seed "
        f"{seeds[0]}, named before any was judged; calibrated on the validation and calibration rows."
    )
    return records[0] | {"note": note, "seeds": list(seeds), "over_seeds": over_seeds}


def write(
    into: Path,
    *,
    model: DistilBertForReviews,
    trained: dict[str, Tensor],
    rivals: Baselines,
    record: Record,
    manifest: Manifest,
) -> Manifest:
    """Write the starter's files, all or nothing; the version is named by what training made."""
    with artifact.replacing(into) as staging:
        save_file(trained, staging / TRAINED)
        manifest = replace(manifest, version=f"starter-{artifact.sha256(staging / TRAINED)[:8]}")
        model.config.to_json_file(staging / CONFIG)
        rivals.save(staging)
        artifact.write_json(staging / artifact.EVALUATION, record)
        (staging / artifact.CARD).write_text(card.write(manifest, record, max_length=model.config.max_length), "utf-8")
        return artifact.seal(staging, manifest)
