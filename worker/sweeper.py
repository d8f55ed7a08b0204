"""The sweeper: a process of its own that recovers lapsed jobs and rings bells that were lost."""

import signal
from threading import Event

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import claims, workers
from store.claims import Swept
from store.database import Database, open_database
from store.logs import configure_logs
from store.settings import Settings
from worker.queue import Doorbell

LOST_BELL_AFTER_S = 3.0

log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Sweep every few seconds until SIGTERM or SIGINT. Returns the exit status; safe when several run."""
    configure_logs(settings)
    ended = Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: ended.set())
    database = open_database(settings)
    doorbell = Doorbell(settings)
    log.info("sweeper_started", interval_s=settings.sweep_interval_s)
    while not ended.is_set():
        try:
            sweep_once(database, doorbell)
        except SQLAlchemyError as error:
            log.warning("sweep_failed", reason=str(error.__cause__ or error))
        ended.wait(settings.sweep_interval_s)
    doorbell.close()
    database.dispose()
    return 0


def sweep_once(database: Database, doorbell: Doorbell) -> Swept:
    """Recover what lapsed, then ring for each queue in which jobs wait and no bell does."""
    with database.read() as session:
        needs_sweep = claims.anything_lapsed(session)
    swept = Swept((), (), ())
    if needs_sweep:
        with database.begin() as session:
            swept = claims.sweep(session)
        log.info("swept", requeued=swept.requeued, quarantined=swept.quarantined, cancelled=swept.cancelled)
    _ring_lost_bells(database, doorbell)
    return swept


def _ring_lost_bells(database: Database, doorbell: Doorbell) -> None:
    with database.read() as session:
        waiting = claims.waiting_queues(session, longer_than_s=LOST_BELL_AFTER_S)
        idle = {queue: workers.idle(session, queue) for queue in waiting}
    for queue, job_id in waiting.items():
        # A busy worker claims on without a bell; more bells than idle workers would only pile up.
        missing = idle[queue] - (doorbell.bells(queue) or 0)
        for _ in range(missing):
            doorbell.ring(job_id, queue)
