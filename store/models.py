"""The model registry: which folders of model files exist and which one answers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from store.database import now
from store.errors import UnknownModelVersionError
from store.schema import ModelVersion

ModelState = Literal["candidate", "active", "archived"]


@dataclass(frozen=True)
class NewModelVersion:
    """A model version to register.

    Attributes:
        version: its name, unique.
        backbone: the encoder that it was trained from.
        artifact: its folder, relative to the artifact store.
        manifest_sha256: of its manifest, which lists the hash of every other file.
        evaluation: the record by which it is judged, None where it never was.
        lineage: what it was made of: data hash, parameters, code, seed, library versions.
        job_id: the training that made it.
        dataset_id: what it was trained on.
        created_by: who asked for it.
    """

    version: str
    backbone: str
    artifact: str
    manifest_sha256: str
    evaluation: dict[str, Any] | None
    lineage: dict[str, Any] | None = field(default=None, kw_only=True)
    job_id: str | None = field(default=None, kw_only=True)
    dataset_id: int | None = field(default=None, kw_only=True)
    created_by: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class ModelVersionView(NewModelVersion):
    """A registered model version."""

    state: ModelState
    created_at: datetime
    activated_at: datetime | None


def register(session: Session, new: NewModelVersion) -> ModelVersionView:
    """Add a candidate; a version that is known already keeps its state and takes the new description."""
    known = session.get(ModelVersion, new.version)
    if known is None:
        session.execute(insert(ModelVersion).values(**vars(new), state="candidate", created_at=now(session)))
    else:
        session.execute(update(ModelVersion).where(ModelVersion.version == new.version).values(**vars(new)))
    session.expire_all()
    return _view(session.get_one(ModelVersion, new.version))


def ensure_active(session: Session, new: NewModelVersion) -> ModelVersionView:
    """Register a version and put it into service when no other is: what a fresh installation needs."""
    registered = register(session, new)
    return registered if active(session) is not None else activate(session, new.version)


def activate(session: Session, version: str) -> ModelVersionView:
    """Put a version into service; the one that served becomes archived.

    Raises:
        UnknownModelVersionError: there is no such version.
    """
    if session.get(ModelVersion, version) is None:
        raise UnknownModelVersionError(f"no model version {version!r}")
    session.execute(
        update(ModelVersion)
        .where(ModelVersion.state == "active", ModelVersion.version != version)
        .values(state="archived")
    )
    session.execute(
        update(ModelVersion).where(ModelVersion.version == version).values(state="active", activated_at=now(session))
    )
    session.expire_all()
    return _view(session.get_one(ModelVersion, version))


def active(session: Session) -> ModelVersionView | None:
    """The version that answers, or None before the first one is installed."""
    row = session.scalars(select(ModelVersion).where(ModelVersion.state == "active")).one_or_none()
    return None if row is None else _view(row)


def get(session: Session, version: str) -> ModelVersionView | None:
    """One version, or None."""
    row = session.get(ModelVersion, version)
    return None if row is None else _view(row)


def list_models(session: Session) -> list[ModelVersionView]:
    """Every version, newest first."""
    rows = session.scalars(select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.version))
    return [_view(row) for row in rows]


def _view(row: ModelVersion) -> ModelVersionView:
    state: ModelState = row.state  # type: ignore[assignment]  # the CHECK constraint holds it to the literal
    return ModelVersionView(
        version=row.version,
        backbone=row.backbone,
        artifact=row.artifact,
        manifest_sha256=row.manifest_sha256,
        evaluation=row.evaluation,
        lineage=row.lineage,
        job_id=row.job_id,
        dataset_id=row.dataset_id,
        created_by=row.created_by,
        state=state,
        created_at=row.created_at,
        activated_at=row.activated_at,
    )
