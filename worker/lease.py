"""Keeping the leases of a batch alive while it is read."""

from collections.abc import Sequence
from threading import Event, Thread
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import claims
from store.claims import Claim
from store.database import Database

log = structlog.get_logger()


class LeaseKeeper:
    """Renews the leases of some claims every third of their time, from a thread, until the block ends.

    `standing` is what is still held and wanted; a claim leaves it when its lease was lost or a person cancelled it.
    """

    def __init__(self, database: Database, held: Sequence[Claim], *, lease_s: float) -> None:
        self._database = database
        self._claims = tuple(held)
        self._lease_s = lease_s
        self._ended = Event()
        self._thread = Thread(target=self._keep, name="lease-keeper", daemon=True)
        self.standing = frozenset(claim.job_id for claim in held)
        self.cancelled: frozenset[str] = frozenset()
        self.n_done = 0

    def __enter__(self) -> "LeaseKeeper":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._lease_s / 3):
            try:
                self._renew()
            except SQLAlchemyError as error:
                log.warning("lease_not_renewed", reason=type(error).__name__)  # the next third may succeed

    def _renew(self) -> None:
        # A batch of several jobs is read shortest review first: only a job alone knows how far it is.
        done = {self._claims[0].job_id: self.n_done} if len(self._claims) == 1 else {}
        with self._database.begin() as session:
            renewed = claims.renew(session, self._claims, lease_s=self._lease_s, done=done)
        self.cancelled = renewed.cancel
        self.standing = renewed.held - renewed.cancel
