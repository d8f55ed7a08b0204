"""Loading the active model version, with a small one on disk."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from ml import artifact
from store.database import Database
from store.settings import Settings
from tests.worker.test_reader import refusing
from worker import slot as slot_module
from worker.slot import ModelSlot


@pytest.fixture
def slot(settings: Settings, database: Database, installed: Path) -> ModelSlot:
    return ModelSlot(settings, database, threads=1)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that was hashed."""
    files: list[Path] = []
    real = artifact.sha256

    def noting(file: Path) -> str:
        files.append(file)
        return real(file)

    monkeypatch.setattr(artifact, "sha256", noting)
    return files


def damage(folder: Path) -> bytes:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return whole


def test_a_damaged_model_is_hashed_and_logged_once_and_noticed_as_soon_as_it_is_repaired(
    slot: ModelSlot, installed: Path, hashed: list[Path]
) -> None:
    whole = damage(installed)
    with capture_logs() as logs:
        assert slot.fill() is None
        n_hashed = len(hashed)
        assert n_hashed > 0
        for _ in range(5):
            assert slot.fill() is None
    assert len(hashed) == n_hashed
    assert [line["event"] for line in logs] == ["model_not_loaded"]
    assert "model.safetensors" in (slot.error or "")
    (installed / "model.safetensors").write_bytes(whole)
    assert slot.fill() is not None
    assert slot.error is None


def test_a_load_that_failed_is_tried_again_after_a_while(
    slot: ModelSlot, installed: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(installed)
    slot.fill()
    n_hashed = len(hashed)
    monkeypatch.setattr(slot_module, "RETRY_S", 0.0)
    slot.fill()
    assert len(hashed) == 2 * n_hashed


def test_a_database_that_is_away_is_the_reason_until_it_is_back(slot: ModelSlot, database: Database) -> None:
    with refusing(database, "SELECT", OperationalError("", {}, Exception("disk I/O error"))):
        assert slot.fill() is None
        assert slot.error == "OperationalError: disk I/O error"
    assert slot.fill() is not None
