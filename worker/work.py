"""What the code of a long job may use, inside the process that runs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy.orm import Session

from store import claims
from store.claims import Claim
from store.database import Database
from store.jobs import JobView
from store.settings import Settings
from worker.errors import AbandonedError

TELL_EVERY_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a job made.

    Attributes:
        result: kept with the job, by id: `{"dataset_id": 3}`.
        write: the rows that the result consists of, in the transaction that ends the job.
    """

    result: dict[str, Any]
    write: Callable[[Session], None] | None = None


class Work:
    """One attempt at a long job: what it is about, and how it talks to the database while its claim stands."""

    def __init__(
        self, settings: Settings, database: Database, job: JobView, claimed: Claim, *, draining: Event | None = None
    ) -> None:
        self.settings = settings
        self.database = database
        self.job = job
        self.claimed = claimed
        self.scratch = scratch_folder(settings, job.id)
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._draining = draining or Event()
        self._stop = False
        self._told_at = float("-inf")

    @property
    def is_draining(self) -> bool:
        """Whether the worker stops."""
        return self._draining.is_set()

    @property
    def wants_stop(self) -> bool:
        """Whether a person asked to stop and keep what there is, as of the last `progress`."""
        return self._stop

    def progress(self, done: int, total: int, phase: str) -> None:
        """Say how far the job is; at most one write a second, so call it as often as you like.

        Raises:
            AbandonedError: the claim was lost, or a person cancelled the job.
        """
        if time.monotonic() < self._told_at + TELL_EVERY_S:
            return
        self.write(lambda session: self._advance(session, done, total, phase))
        self._told_at = time.monotonic()

    def _advance(self, session: Session, done: int, total: int, phase: str) -> None:
        claims.advance(session, self.claimed, done=done, total=total, phase=phase)

    def write(self, action: Callable[[Session], None]) -> None:
        """Write in a transaction of its own, unless this attempt no longer holds the job.

        Raises:
            AbandonedError: it does not, or a person cancelled the job; nothing is written then.
        """
        with self.database.begin() as session:
            if not claims.hold(session, self.claimed):
                raise AbandonedError
            said = claims.wishes(session, self.claimed)
            if said.is_cancelled:
                raise AbandonedError
            self._stop = said.is_stopped
            action(session)


def scratch_folder(settings: Settings, job_id: str) -> Path:
    """Where a job keeps files between its attempts on this machine; removed when it ends."""
    return settings.home.resolve() / "work" / job_id
