"""Trainings: a data set becomes a candidate model version, judged beside its baselines."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version as installed
from math import isfinite
from time import monotonic
from typing import Any

import torch
from sqlalchemy.orm import Session

from ml import artifact as model_files
from ml import candidate, data
from ml.artifact import Manifest
from ml.candidate import Surroundings
from ml.errors import BackboneUnavailableError, CheckpointError, DataError, PausedError, PlanError
from ml.hardware import choose_device
from ml.plan import BackboneName, ClassWeighting, Method, TrainingPlan, Weighting, plan_of
from ml.team import Team
from ml.trainer import EvaluationReport, Watch
from ml.training import StepReport
from store import artifacts, datasets, models, train_params, trainings
from store.datasets import DatasetView
from store.errors import TrainParamsError
from store.models import NewModelVersion
from store.train_params import TrainParams
from store.trainings import NewEvaluation, NewStep
from worker.errors import DrainedError, InputError, TransientError
from worker.process import reading_threads
from worker.work import Outcome, Work

WRITE_EVERY_S = 1.0
CHECKPOINT_EVERY = 200
"""Steps: what a killed training repeats at most, some minutes on a CPU."""
LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "scikit-learn")


def run(work: Work) -> Outcome:
    """Train as the job's parameters say, and leave the version as a candidate.

    Harmless when repeated: a later attempt goes on from the newest checkpoint, and a version that was written but not
    registered is written again under the same name.

    Raises:
        InputError: the data set or the parameters cannot be trained on.
        TransientError: the disk or the artifact store does not do its part.
        DrainedError: the worker stops; a checkpoint is saved.
        AbandonedError: the job was cancelled, or its claim lost.
    """
    try:
        params = train_params.parse(work.job.params)
        plan = _plan(work, params)
        dataset = _dataset(work, params.dataset_id)
        return _train(work, plan, dataset)
    except (TrainParamsError, PlanError) as error:
        raise InputError(f"{error}.", "Ask for a training with other parameters.") from error
    except DataError as error:
        raise InputError(f"{error}.", "Train on another data set, or change the parameters.") from error
    except BackboneUnavailableError as error:
        raise InputError(f"{error}.", "Choose another backbone, or install this one where the worker runs.") from error
    except PausedError:
        raise DrainedError from None
    except CheckpointError as error:  # of a release or a default encoder that is gone: nothing here can use them
        shutil.rmtree(work.scratch / "checkpoints", ignore_errors=True)
        raise TransientError(f"the checkpoints are of no use any more: {error}") from error
    except OSError as error:
        raise TransientError(f"a file cannot be read or written: {error.strerror or error}") from error


def _plan(work: Work, params: TrainParams) -> TrainingPlan:
    chosen = params.choices()
    backbone, method = chosen.pop("backbone", work.settings.backbone), chosen.pop("method")
    chosen["weighting"], chosen["class_weighting"] = Weighting(params.weighting), ClassWeighting(params.class_weighting)
    return plan_of(BackboneName(backbone), Method(method), **chosen)


def _dataset(work: Work, dataset_id: int) -> DatasetView:
    with work.database.read() as session:
        dataset = datasets.get(session, dataset_id)
    if dataset is None:
        raise InputError(f"There is no data set {dataset_id}.", "Choose one that is ready.")
    if dataset.state != "ready":
        raise InputError(f"The data set {dataset_id} is not ready: its import {dataset.state}.", "Choose another.")
    return dataset


def _train(work: Work, plan: TrainingPlan, dataset: DatasetView) -> Outcome:
    torch.set_num_threads(work.settings.worker_threads or reading_threads())
    table = data.read_table(artifacts.local_file(work.settings, str(dataset.artifact), scratch=work.scratch))
    diary = Diary(work)
    made = candidate.make(
        table,
        plan,
        data_sha256=str(dataset.sha256),
        watch=diary.watch(),
        version=f"{plan.backbone}-{work.job.created_at:%Y%m%dT%H%M%S}-{work.job.id[-6:]}",
        surroundings=Surroundings(
            checkpoints=work.scratch / "checkpoints",
            checkpoint_every=CHECKPOINT_EVERY,
            team=Team(device=choose_device(work.settings.device)),
        ),
    )
    diary.phase("writing the model version")
    folder = work.scratch / "version"
    manifest = candidate.write(made, folder)
    artifact = artifacts.model_artifact(manifest.version)
    artifacts.put_folder(work.settings, folder, artifact)
    new = NewModelVersion(
        version=manifest.version,
        backbone=manifest.backbone,
        artifact=artifact,
        manifest_sha256=model_files.sha256(folder / model_files.MANIFEST),
        evaluation=made.record,
        lineage=_lineage(manifest, dataset),
        job_id=work.job.id,
        dataset_id=dataset.id,
        created_by=work.job.created_by,
    )
    return Outcome({"model_version": manifest.version}, partial(_register, new))


def _register(new: NewModelVersion, session: Session) -> None:
    models.register(session, new)


def _lineage(manifest: Manifest, dataset: DatasetView) -> dict[str, Any]:
    """What a version was made of; together with the data set it says how to make it again."""
    return {
        "dataset": {"name": dataset.name, "version": dataset.version, "sha256": dataset.sha256},
        "data": manifest.data,
        "params": manifest.training,
        "seed": manifest.training["seed"],
        "code": installed("hemline"),
        "libraries": {"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES},
    }


class Diary:
    """Writes down what a training says of itself: progress, steps about every second, evaluations at once."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._steps: list[NewStep] = []
        self._written_at = monotonic()
        self._done, self._total = work.job.done, work.job.total
        self._phase = ""

    def watch(self) -> Watch:
        """Return what the trainer tells its news and asks what it is to do."""
        return Watch(
            on_phase=self.phase,
            on_start=self._forget,
            on_step=self._on_step,
            on_evaluation=self._on_evaluation,
            before_checkpoint=self._write,
            wants_stop=lambda: self._work.wants_stop,
            wants_pause=lambda: self._work.is_draining,
        )

    def phase(self, phase: str) -> None:
        """Say what begins.

        Raises:
            DrainedError: the worker stops; the last checkpoint holds what was learnt.
        """
        if self._work.is_draining:
            raise DrainedError
        self._phase = phase
        self._work.progress(self._done, self._total, phase)

    def _forget(self, step: int) -> None:
        self._work.write(lambda session: trainings.forget_after(session, self._work.job.id, step))

    def _on_step(self, report: StepReport) -> None:
        if not isfinite(report.total):
            raise InputError(f"The losses diverged at step {report.step}.", "Lower the learning rates.")
        said = asdict(report)
        self._done, self._total = report.step, said.pop("n_steps")
        self._steps.append(NewStep(**said))
        self._work.progress(self._done, self._total, self._phase)
        if monotonic() >= self._written_at + WRITE_EVERY_S:
            self._write()

    def _on_evaluation(self, report: EvaluationReport) -> None:
        said = NewEvaluation(
            report.step, report.epoch, asdict(report.metrics) | {"merit": report.merit}, report.is_best
        )
        self._write(lambda session: trainings.record_evaluation(session, self._work.job.id, said))

    def _write(self, also: Callable[[Session], None] = lambda _: None) -> None:
        steps, self._steps, self._written_at = self._steps, [], monotonic()

        def record(session: Session) -> None:
            trainings.record_steps(session, self._work.job.id, steps)
            also(session)

        self._work.write(record)
