"""A small real model (2 layers, width 16, fixed seed) in the slot of a real reader."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from ml import artifact, candidate
from ml.backbones import BackboneName
from ml.backbones import load as load_backbone
from ml.inference import Predictor
from ml.network import DistilBertForReviews, HemlineConfig
from store import models
from store.database import Database
from store.models import NewModelVersion
from store.settings import Settings
from worker.process import PREDICT_QUEUES
from worker.reader import Reader
from worker.slot import Loaded, ModelSlot

VERSION = "small-1"


@pytest.fixture(scope="session")
def network() -> DistilBertForReviews:
    torch.manual_seed(0)
    return DistilBertForReviews(
        HemlineConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, interval_low=[20.0, 0.0], interval_high=[20.0, 0.0])
    )


@pytest.fixture(scope="session")
def predictor(network: DistilBertForReviews) -> Predictor:
    """A predictor with random weights: what it says is nonsense, how it says it is real."""
    return Predictor(network, load_backbone(BackboneName.TINY).tokenizer(), version=VERSION)


def install(settings: Settings, network: DistilBertForReviews, version: str) -> Path:
    """Write a small network as the files of a version."""
    folder = Path(settings.artifacts) / "models" / version
    with artifact.replacing(folder) as staging:
        candidate.write_network(network, load_backbone(BackboneName.TINY).tokenizer_json, staging)
        artifact.seal(staging, artifact.Manifest(version=version, created="2026-01-01", backbone="tiny"))
    return folder


@pytest.fixture
def installed(settings: Settings, database: Database, network: DistilBertForReviews) -> Path:
    """The folder of that small model, which is the active version of this installation."""
    folder = install(settings, network, VERSION)
    with database.begin() as session:
        models.ensure_active(session, NewModelVersion(VERSION, "tiny", f"models/{VERSION}", "0" * 64, None))
    return folder


@dataclass
class Bench:
    """A reader over a database, and the switch that drains it."""

    reader: Reader
    draining: list[bool] = field(default_factory=list)

    @property
    def predictor(self) -> Predictor:
        """What it reads with."""
        assert self.reader.slot.loaded is not None
        return self.reader.slot.loaded.predictor

    @predictor.setter
    def predictor(self, predictor: Predictor) -> None:
        assert self.reader.slot.loaded is not None
        self.reader.slot.loaded = Loaded(predictor, self.reader.slot.loaded.version)


@pytest.fixture
def make_bench(settings: Settings, database: Database, predictor: Predictor) -> Callable[[], Bench]:
    with database.begin() as session:
        models.ensure_active(session, NewModelVersion(VERSION, "tiny", f"models/{VERSION}", "0" * 64, None))

    def make() -> Bench:
        draining: list[bool] = []
        slot = ModelSlot(settings, database, threads=1, loaded=Loaded(predictor, VERSION))
        reader = Reader(
            database=database,
            slot=slot,
            worker_id="w-1",
            queues=PREDICT_QUEUES,
            lease_s=3.0,
            batch_reviews=16,
            is_draining=lambda: bool(draining),
        )
        return Bench(reader, draining)

    return make
