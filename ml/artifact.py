"""A model version on disk: a folder that says what is in it, and is whole or not there."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ml.errors import DamagedModelError, ModelError

MANIFEST = "manifest.json"
EVALUATION = "evaluation.json"
CARD = "README.md"
TOKENIZER = "tokenizer.json"
WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".onnx"})
"""A file of this kind that no manifest lists could be loaded in place of the verified one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model version is and which files it consists of.

    Attributes:
        version: its name, unique in a registry.
        created: UTC, ISO 8601.
        backbone: the encoder that it was trained from.
        files: name → SHA-256 of every file but the manifest.
        training: the plan of the run, as JSON.
        data: what it was trained on: SHA-256 of the CSV, rows per part, seed of the split.
        source: SHA-256 of the starter manifest that it was installed from; empty for others.
    """

    version: str
    created: str
    backbone: str
    files: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    source: str = ""


def sha256(file: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """List every file of a finished folder in its manifest, and write that last."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file() and file.name != MANIFEST)
    for name in names:
        (folder / name).chmod(0o644)  # safetensors writes for its owner alone
    sealed = Manifest(**{**asdict(manifest), "files": {name: sha256(folder / name) for name in names}})
    write_json(folder / MANIFEST, asdict(sealed))
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """Read a version's manifest without checking the files.

    Raises:
        ModelError: there is no manifest, or it is not one.
    """
    path = folder / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ModelError(f"{folder} is not a model version: {MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is not a manifest: {error}") from error


def verify(folder: Path) -> Manifest:
    """Compare a version's files with its manifest.

    Raises:
        DamagedModelError: a file is missing, altered, or an unlisted file of weights lies beside the listed ones.
        ModelError: there is no readable manifest.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise ModelError(f"{folder / MANIFEST} lists a file outside its folder: {name}")
        found = sha256(file) if file.is_file() else None
        if found != expected:
            raise DamagedModelError(file, expected=expected, found=found)
    for file in sorted(folder.rglob("*")):
        if file.suffix in WEIGHT_SUFFIXES and str(file.relative_to(folder)) not in manifest.files:
            raise DamagedModelError(file, expected=None, found=sha256(file))
    return manifest


def read_evaluation(folder: Path) -> dict[str, Any] | None:
    """Return the version's evaluation record, or None where it has none."""
    path = folder / EVALUATION
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record


def write_json(path: Path, value: object) -> None:
    """Write JSON that a person can read; NaN is refused."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of `folder` at the end, or vanishes on an error.

    The swap is two renames on one file system: after a crash between them the old version lies beside, never a mix.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    staging.chmod(0o755)
    try:
        yield staging
        if folder.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(retired / folder.name)
            staging.rename(folder)
            shutil.rmtree(retired)
        else:
            staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
