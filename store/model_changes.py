"""Which model version served when: promotions and rollbacks, append-only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from store.database import now
from store.schema import ModelChange

ChangeAction = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Change:
    """A promotion or a rollback: which version took over from which, who said so and why."""

    id: int
    at: datetime
    action: ChangeAction
    version: str
    previous: str | None
    made_by: str
    reason: str | None
    override_reason: str | None


def record(
    session: Session,
    action: ChangeAction,
    version: str,
    *,
    previous: str | None,
    made_by: str,
    reason: str | None,
    override_reason: str | None,
) -> Change:
    """Write a change down, in the transaction that makes it."""
    values = {"previous": previous, "made_by": made_by, "reason": reason, "override_reason": override_reason}
    made = insert(ModelChange).values(at=now(session), action=action, version=version, **values)
    return _view(session.scalars(made.returning(ModelChange)).one())


def list_changes(session: Session, version: str | None = None) -> list[Change]:
    """Every promotion and rollback, newest first; with `version` those that it entered or left service by."""
    wanted = select(ModelChange).order_by(ModelChange.id.desc())
    if version is not None:
        wanted = wanted.where((ModelChange.version == version) | (ModelChange.previous == version))
    return [_view(row) for row in session.scalars(wanted)]


def version_before(session: Session, standing: str | None, *, known: Collection[str]) -> str | None:
    """The version beneath the one that serves, on the stack of those that served.

    A promotion puts a version on top, a rollback takes off all that lies above its version.

    Args:
        session: a transaction.
        standing: the version that serves.
        known: the versions that still exist; others are passed over.
    """
    stack: list[str] = []
    for change in session.scalars(select(ModelChange).order_by(ModelChange.id)):
        if change.action == "rollback":
            while stack and stack[-1] != change.version:
                stack.pop()
            continue
        if change.previous is not None and stack[-1:] != [change.previous]:
            stack.append(change.previous)
        stack.append(change.version)
    return next((version for version in reversed(stack) if version in known and version != standing), None)


def _view(row: ModelChange) -> Change:
    action: ChangeAction = row.action  # type: ignore[assignment]  # the CHECK constraint holds it to the literal
    return Change(
        id=row.id,
        at=row.at,
        action=action,
        version=row.version,
        previous=row.previous,
        made_by=row.made_by,
        reason=row.reason,
        override_reason=row.override_reason,
    )
