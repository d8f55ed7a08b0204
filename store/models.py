"""The model registry: which folders of model files exist and which one answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from store import audit, honesty, model_changes, workers
from store.database import now
from store.errors import DishonestModelError, ModelRefusedError, UnknownModelVersionError
from store.jobs import Actor
from store.model_changes import Change, ChangeAction
from store.schema import ModelVersion, Prediction

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
    if active_version(session) is not None:
        return registered
    _put_into_service(session, new.version)
    return _view(session.get_one(ModelVersion, new.version))


def promote(
    session: Session,
    version: str,
    *,
    by: Actor,
    address: str | None = None,
    reason: str | None = None,
    override_reason: str | None = None,
) -> Change | None:
    """Put a version into service; the one that served becomes archived.

    Args:
        session: a write transaction.
        version: a candidate, or one that served before.
        by: who says so.
        address: where the request came from.
        reason: why, in a person's words.
        override_reason: why this version shall serve although the honesty gate refuses it.

    Returns:
        The change; None when the version serves already, and nothing was done.

    Raises:
        UnknownModelVersionError: there is no such version.
        DishonestModelError: its record does not show that it beats TF-IDF, and there is no override.
    """
    chosen = _locked(session).get(version)
    if chosen is None:
        raise UnknownModelVersionError(f"There is no model version {version!r}.")
    if chosen.state == "active":
        return None
    objection = honesty.objection(chosen.evaluation)
    override = _words(override_reason)
    if objection and override is None:
        raise DishonestModelError(f"{version} is not promoted: {objection}. The rule: {honesty.CRITERION}.")
    return _change(
        session,
        "promote",
        version,
        by=by,
        address=address,
        reason=_words(reason),
        override_reason=override if objection else None,
        circumstances={"objection": objection} if objection else {},
    )


def rollback(
    session: Session, *, by: Actor, address: str | None = None, reason: str | None = None, serving: str | None = None
) -> Change:
    """Take the last promotion back: the version that served before it serves again.

    Another rollback goes one promotion further back. The versions that served form a stack: a promotion puts one on
    top, a rollback takes the top off. Versions deleted meanwhile are passed over. The honesty gate is not asked.

    Args:
        session: a write transaction.
        by: who says so.
        address: where the request came from.
        reason: why, in a person's words.
        serving: the version that its author believes to serve; None for whichever does.

    Raises:
        ModelRefusedError: no version served before, or another one than `serving` serves by now.
    """
    rows = _locked(session)
    standing = next((row.version for row in rows.values() if row.state == "active"), None)
    if serving is not None and serving != standing:
        raise ModelRefusedError(f"Nothing was rolled back: {standing} serves by now, not {serving}.")
    target = model_changes.version_before(session, standing, known=rows.keys())
    if target is None:
        raise ModelRefusedError("There is nothing to roll back to: no version that is still here served before.")
    return _change(session, "rollback", target, by=by, address=address, reason=_words(reason))


def rollback_target(session: Session) -> str | None:
    """The version that a rollback would put into service, or None."""
    known = session.scalars(select(ModelVersion.version)).all()
    return model_changes.version_before(session, active_version(session), known=known)


def archive(session: Session, version: str, *, by: Actor, address: str | None = None) -> ModelVersionView:
    """Lay a version aside; harmless when it is archived already.

    Raises:
        UnknownModelVersionError: there is no such version.
        ModelRefusedError: it serves.
    """
    row = _not_serving(session, version, verb="archived")
    if row.state != "archived":
        session.execute(update(ModelVersion).where(ModelVersion.version == version).values(state="archived"))
        audit.record(session, by, action="model.archive", subject=version, data={"was": row.state}, address=address)
        session.expire_all()
    return _view(session.get_one(ModelVersion, version))


def delete(session: Session, version: str, *, by: Actor, address: str | None = None) -> ModelVersionView:
    """Remove a version from the registry. Its files are the caller's to remove, once this is committed.

    Returns:
        The version as it was.

    Raises:
        UnknownModelVersionError: there is no such version.
        ModelRefusedError: it serves, a living worker has it loaded, or predictions refer to it.
    """
    row = _not_serving(session, version, verb="deleted")
    if any(worker.model_version == version for worker in workers.list_workers(session)):
        raise ModelRefusedError(f"{version} cannot be deleted: a worker still reads with it. Try again in a moment.")
    if session.scalars(select(Prediction.id).where(Prediction.model_version == version).limit(1)).first() is not None:
        raise ModelRefusedError(f"{version} cannot be deleted: stored predictions are its words. Archive it instead.")
    gone = _view(row)
    session.execute(sql_delete(ModelVersion).where(ModelVersion.version == version))
    lost = {"was": gone.state, "manifest_sha256": gone.manifest_sha256}
    audit.record(session, by, action="model.delete", subject=version, data=lost, address=address)
    return gone


def active(session: Session) -> ModelVersionView | None:
    """The version that answers, or None before the first one is installed."""
    row = session.scalars(select(ModelVersion).where(ModelVersion.state == "active")).one_or_none()
    return None if row is None else _view(row)


def active_version(session: Session) -> str | None:
    """The name of the version that answers; cheap enough to ask before each batch."""
    return session.scalars(select(ModelVersion.version).where(ModelVersion.state == "active")).one_or_none()


def get(session: Session, version: str) -> ModelVersionView | None:
    """One version, or None."""
    row = session.get(ModelVersion, version)
    return None if row is None else _view(row)


def list_models(session: Session) -> list[ModelVersionView]:
    """Every version, newest first."""
    rows = session.scalars(select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.version))
    return [_view(row) for row in rows]


def _locked(session: Session) -> dict[str, ModelVersion]:
    """Every version, locked until the transaction ends: changes of the registry happen one after the other.

    The lock lets predictions that refer to a version be stored meanwhile.
    """
    rows = session.scalars(
        select(ModelVersion)
        .order_by(ModelVersion.version)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {row.version: row for row in rows}


def _not_serving(session: Session, version: str, *, verb: str) -> ModelVersion:
    row = _locked(session).get(version)
    if row is None:
        raise UnknownModelVersionError(f"There is no model version {version!r}.")
    if row.state == "active":
        raise ModelRefusedError(f"{version} cannot be {verb}: it serves. Promote another version first.")
    return row


def _put_into_service(session: Session, version: str) -> None:
    session.execute(update(ModelVersion).where(ModelVersion.state == "active").values(state="archived"))
    session.execute(
        update(ModelVersion).where(ModelVersion.version == version).values(state="active", activated_at=now(session))
    )
    session.expire_all()


def _change(
    session: Session,
    action: ChangeAction,
    version: str,
    *,
    by: Actor,
    address: str | None,
    reason: str | None,
    override_reason: str | None = None,
    circumstances: Mapping[str, Any] = MappingProxyType({}),
) -> Change:
    previous = active_version(session)
    _put_into_service(session, version)
    said = {"previous": previous, "reason": reason, "override_reason": override_reason}
    made = model_changes.record(session, action, version, made_by=by.name, **said)
    known = {name: value for name, value in said.items() if value is not None}
    audit.record(
        session, by, action=f"model.{action}", subject=version, data={**known, **circumstances}, address=address
    )
    return made


def _words(text: str | None) -> str | None:
    """What a person wrote, None where that is nothing."""
    return (text or "").strip() or None


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
