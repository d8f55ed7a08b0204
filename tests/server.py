"""The web server as a process of its own, for tests that need its sockets or a browser."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from store import accounts
from store.database import open_database
from store.settings import Settings
from store.upgrade import upgrade
from tests.web.conftest import EMAIL, PASSWORD, TOKEN

PROGRAM = "from store.settings import load; from web.server import run; raise SystemExit(run(load()))"


@contextmanager
def running_server(home: Path, redis_url: str, **environment: str) -> Iterator[Settings]:
    """Serve a migrated, empty installation with an administrator, and see that it stops in order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(home=home, port=port, redis_url=redis_url)
    database = open_database(settings)
    upgrade(database)
    with database.begin() as db:
        accounts.provision_admin(db, email=EMAIL, password=PASSWORD, token=TOKEN)
    database.dispose()
    ours = {
        "HEMLINE_HOME": str(home),
        "HEMLINE_PORT": str(port),
        "HEMLINE_REDIS_URL": redis_url,
        "HEMLINE_SECRET_KEY": "a key for tests only",
        "HEMLINE_LOGIN_RATE_PER_MINUTE": "1000",
    }
    with (home / "web.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-c", PROGRAM], env=os.environ | ours | environment, stderr=log)
        try:
            _wait_until_alive(f"http://127.0.0.1:{port}", server)
            yield settings
        finally:
            server.terminate()
        assert server.wait(25) == 0


def _wait_until_alive(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")
