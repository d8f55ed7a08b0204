from pathlib import Path

import pytest

from ml import artifact
from ml.artifact import Manifest
from ml.errors import DamagedModelError, ModelError

MANIFEST = Manifest(version="v1", created="2026-01-01", backbone="tiny", training={"seed": 0})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "v1"
    with artifact.replacing(folder) as staging:
        (staging / "model.safetensors").write_bytes(b"weights")
        (staging / "README.md").write_text("card", "utf-8")
        artifact.seal(staging, MANIFEST)
    return folder


def test_an_untouched_version_verifies_and_lists_its_files(folder: Path) -> None:
    manifest = artifact.verify(folder)
    assert (manifest.version, manifest.training) == ("v1", {"seed": 0})
    assert set(manifest.files) == {"model.safetensors", "README.md"}


def test_an_altered_file_is_named_with_both_hashes(folder: Path) -> None:
    file = folder / "model.safetensors"
    expected = artifact.sha256(file)
    file.write_bytes(b"weightz")
    with pytest.raises(DamagedModelError) as caught:
        artifact.verify(folder)
    assert (caught.value.file, caught.value.expected, caught.value.found) == (file, expected, artifact.sha256(file))
    assert all(part in str(caught.value) for part in ("model.safetensors", expected, artifact.sha256(file)))


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(DamagedModelError, match=r"README.md: expected SHA-256 \w{64}, found no file"):
        artifact.verify(folder)


@pytest.mark.parametrize("name", ["adapter.safetensors", "pytorch_model.bin", "deeper/model.pt"])
def test_unlisted_weights_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"surprise")
    with pytest.raises(DamagedModelError, match="unlisted"):
        artifact.verify(folder)


def test_a_note_beside_the_files_does_no_harm(folder: Path) -> None:
    (folder / "note.txt").write_text("mine", "utf-8")
    artifact.verify(folder)


def test_a_manifest_cannot_point_outside_its_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    text = (folder / artifact.MANIFEST).read_text("utf-8").replace('"README.md"', '"../elsewhere"')
    (folder / artifact.MANIFEST).write_text(text, "utf-8")
    with pytest.raises(ModelError, match="outside"):
        artifact.verify(folder)


@pytest.mark.parametrize("content", [None, "", "[]", '{"version": "v1"}', '{"surprise": 1}'])
def test_a_folder_without_a_manifest_is_no_version(folder: Path, content: str | None) -> None:
    (folder / artifact.MANIFEST).unlink()
    if content is not None:
        (folder / artifact.MANIFEST).write_text(content, "utf-8")
    with pytest.raises(ModelError, match="manifest"):
        artifact.verify(folder)


def test_a_failed_write_leaves_the_old_version_and_nothing_else(folder: Path) -> None:
    def fail() -> None:
        with artifact.replacing(folder) as staging:
            (staging / "model.safetensors").write_bytes(b"half")
            raise IsADirectoryError

    with pytest.raises(IsADirectoryError):
        fail()
    artifact.verify(folder)
    assert [entry.name for entry in folder.parent.iterdir()] == ["v1"]


def test_a_finished_write_takes_the_place_of_the_old_version(folder: Path) -> None:
    with artifact.replacing(folder) as staging:
        (staging / "other.txt").write_text("new", "utf-8")
        artifact.seal(staging, MANIFEST)
    assert set(artifact.verify(folder).files) == {"other.txt"}
    assert [entry.name for entry in folder.parent.iterdir()] == ["v1"]


def test_json_with_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        artifact.write_json(tmp_path / "x.json", {"r2": float("nan")})
