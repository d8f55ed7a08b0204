"""What one reading process is made of: database, model slot, reader, heartbeat."""

import mmap
import os
import secrets
import socket
from dataclasses import dataclass

from store.database import Database, open_database
from store.jobs import QueueName
from store.settings import Settings
from worker.heartbeat import Heartbeat
from worker.reader import Reader
from worker.slot import ModelSlot

PREDICT_QUEUES = (QueueName.INTERACTIVE, QueueName.BULK)


class DrainFlag:
    """One byte that a parent sets and its forked children see: stop claiming.

    There is no lock in it that a killed process could hold.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Ask every process that shares the flag to stop claiming."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self._byte[0] == 1


@dataclass(frozen=True)
class ReadingProcess:
    """The parts of a process that reads; build it after the fork."""

    database: Database
    reader: Reader
    heartbeat: Heartbeat


def start_reading_process(settings: Settings, draining: DrainFlag) -> ReadingProcess:
    """Start the heartbeat of this process, which enrols it as a worker and loads the model.

    Args:
        settings: of the installation.
        draining: set by the parent when the worker is to stop.
    """
    worker_id = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
    database = open_database(settings)
    slot = ModelSlot(settings, database, threads=settings.worker_threads or reading_threads())
    reader = Reader(
        database=database,
        slot=slot,
        worker_id=worker_id,
        queues=PREDICT_QUEUES,
        lease_s=settings.lease_s,
        batch_reviews=settings.batch_reviews,
        is_draining=draining.is_set,
    )
    heartbeat = Heartbeat(database, worker_id, slot, reader)
    heartbeat.start()
    return ReadingProcess(database, reader, heartbeat)


def reading_threads() -> int:
    """Cores that the model may use: all that this process is allowed, less one for the rest of the installation."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
