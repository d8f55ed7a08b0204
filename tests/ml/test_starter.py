import shutil
from pathlib import Path

import pytest

from ml import artifact, starter
from ml.errors import DamagedModelError, ModelError
from ml.inference import Predictor, ReviewText

GLOWING = ReviewText("Love it", "Soft, warm and true to size. I get compliments every day and bought a second one.")
SCATHING = ReviewText("Awful", "It fell apart in the first wash. Cheap, itchy, see-through. I sent it straight back.")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return starter.install(tmp_path_factory.mktemp("starter") / "version")


def changed_at(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_the_shipped_files_are_intact_and_small() -> None:
    assert artifact.verify(starter.DATA).version == starter.VERSION
    assert sum(file.stat().st_size for file in starter.DATA.iterdir()) <= 3_000_000


def test_the_starter_reads_praise_as_praise_and_complaint_as_complaint(installed: Path) -> None:
    glowing, scathing = Predictor.load(installed, device="cpu").predict([GLOWING, SCATHING])
    assert glowing.rating >= 4
    assert scathing.rating <= 2
    assert glowing.age_low < glowing.age < glowing.age_high


def test_the_starter_brings_its_record_its_baselines_and_its_card(installed: Path) -> None:
    record = artifact.read_evaluation(installed)
    assert record is not None
    assert record["rating"]["accuracy"] > record["baselines"]["tfidf"]["rating"]["accuracy"]
    assert len(record["seeds"]) == 3
    card = (installed / artifact.CARD).read_text("utf-8")
    assert starter.VERSION in card
    assert "Age from text is a weak guess" in card
    assert "Over 3 seeds" in card


def test_installing_again_leaves_an_intact_version_alone(installed: Path) -> None:
    before = changed_at(installed)
    starter.install(installed)
    assert changed_at(installed) == before


def test_installing_again_replaces_a_damaged_version(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "version"
    shutil.copytree(installed, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedModelError):
        artifact.verify(folder)
    starter.install(folder)
    assert artifact.verify(folder).version == starter.VERSION


def test_a_starter_that_is_itself_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    shutil.copytree(starter.DATA, data)
    (data / starter.TRAINED).write_bytes(b"half a file")
    monkeypatch.setattr(starter, "DATA", data)
    with pytest.raises(DamagedModelError, match=starter.TRAINED):
        starter.install(tmp_path / "version")


def test_tensors_of_another_kind_are_refused() -> None:
    backbone = starter.backbones.load(starter.BackboneName.MINILM)
    config = starter.HemlineConfig.from_json_file(starter.DATA / starter.CONFIG)
    with pytest.raises(ModelError, match="other tensors"):
        starter.assemble({}, config, backbone)
