"""Whether the worker of this container is alive and has its model: exit status 0 or 1."""

import socket
import sys

from store import workers
from store.database import open_database
from store.settings import load


def is_healthy() -> bool:
    """A worker that enrolled from this host reports a loaded model."""
    database = open_database(load())
    try:
        with database.read() as session:
            mine = [worker for worker in workers.list_workers(session) if worker.hostname == socket.gethostname()]
    finally:
        database.dispose()
    return any(worker.state in {"ready", "busy"} for worker in mine)


if __name__ == "__main__":
    sys.exit(not is_healthy())
