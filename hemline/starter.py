"""The starter model: whether it has to be installed, and installing it. Only the latter loads the model's code."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
from fsspec.implementations.local import LocalFileSystem

from store import models
from store.artifacts import local_folder, model_artifact
from store.database import Database
from store.models import ModelVersionView, NewModelVersion
from store.settings import Settings

MANIFEST, EVALUATION = "manifest.json", "evaluation.json"


def needs_starter(settings: Settings, database: Database) -> bool:
    """Whether no model is in service, or a file of the one that is has gone."""
    with database.read() as session:
        active = models.active(session)
    return active is None or bool(missing_files(settings, active))


def missing_files(settings: Settings, version: ModelVersionView) -> list[str]:
    """Names of the files that the version's folder lacks; whether the others are intact is the worker's to judge."""
    try:
        folder = local_folder(settings, version.artifact)
        names = list(json.loads((folder / MANIFEST).read_bytes())["files"])
    except (OSError, ValueError, KeyError):
        return [MANIFEST]
    return [name for name in names if not (folder / name).is_file()]


def install(settings: Settings, database: Database) -> ModelVersionView:
    """Build the starter model's files where models lie, and register it; it serves when no other model does."""
    from ml import starter  # noqa: PLC0415 (it loads torch, which only installing needs)

    artifact = model_artifact(starter.VERSION)
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if isinstance(filesystem, LocalFileSystem):
        return _register(database, starter.VERSION, artifact, starter.install(Path(root) / artifact))
    with TemporaryDirectory(prefix="hemline-starter-") as scratch:
        folder = starter.install(Path(scratch) / starter.VERSION)
        filesystem.put(f"{folder}/", f"{root}/{artifact}/", recursive=True)
        return _register(database, starter.VERSION, artifact, folder)


def _register(database: Database, version: str, artifact: str, folder: Path) -> ModelVersionView:
    manifest = (folder / MANIFEST).read_bytes()
    new = NewModelVersion(
        version=version,
        backbone=json.loads(manifest)["backbone"],
        artifact=artifact,
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        evaluation=json.loads((folder / EVALUATION).read_bytes()),
    )
    with database.begin() as session:
        return models.ensure_active(session, new)
