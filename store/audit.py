"""Who changed what, when, from where: append-only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from store.database import now
from store.jobs import Actor
from store.schema import AuditEntry


@dataclass(frozen=True)
class AuditView:
    """One recorded deed."""

    id: int
    at: datetime
    actor: str
    user_id: int | None
    address: str | None
    action: str
    subject: str
    data: dict[str, Any]


def record(
    session: Session, actor: Actor, *, action: str, subject: str, data: dict[str, Any], address: str | None
) -> None:
    """Write down a deed, in the transaction that does it.

    Args:
        session: that transaction.
        actor: who did it.
        action: what, as `noun.verb`, such as `model.promote`.
        subject: to what: a version, an id, an e-mail address.
        data: the circumstances, as JSON; no secrets and no review text.
        address: where the request came from, None for a command on the machine itself.
    """
    session.execute(
        insert(AuditEntry).values(
            at=now(session),
            actor=actor.name,
            user_id=actor.user_id,
            address=address,
            action=action,
            subject=subject,
            data=data,
        )
    )


def entries_of(session: Session, subject: str) -> list[AuditView]:
    """What was done to one subject, oldest first."""
    rows = session.scalars(select(AuditEntry).where(AuditEntry.subject == subject).order_by(AuditEntry.id))
    return [
        AuditView(
            id=row.id,
            at=row.at,
            actor=row.actor,
            user_id=row.user_id,
            address=row.address,
            action=row.action,
            subject=row.subject,
            data=row.data,
        )
        for row in rows
    ]
