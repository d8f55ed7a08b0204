"""The embedded Redis, started as `hemline up` starts it."""

import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from hemline import redis_server
from hemline.errors import SharedFolderError
from hemline.home import MAX_SOCKET_PATH, Home, with_own_secrets
from store.settings import Settings
from worker.queue import Doorbell


@contextmanager
def running(home: Home) -> Iterator[redis.Redis]:
    command = [redis_server.find_program(), redis_server.configure(home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        client = redis.Redis.from_url(home.redis_url)
        try:
            yield _answering(client)
        finally:
            client.close()
            server.terminate()
            server.wait(10)


def _answering(client: redis.Redis) -> redis.Redis:
    ends_at = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        else:
            return client


def test_it_answers_with_the_password_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    stranger = redis.Redis(unix_socket_path=str(home.redis_socket))
    with running(home), stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_it_listens_on_no_port_and_never_evicts(tmp_path: Path) -> None:
    with running(Home(tmp_path)) as client:
        chosen = {
            name: client.config_get(name)[name] for name in ("port", "maxmemory", "maxmemory-policy", "appendfsync")
        }
    assert chosen.pop("maxmemory") == str(64 * 2**20)
    assert chosen == {"port": "0", "maxmemory-policy": "noeviction", "appendfsync": "everysec"}


def test_it_keeps_what_it_was_given(tmp_path: Path) -> None:
    with running(Home(tmp_path)) as client:
        client.rpush("bells", "one")
    with running(Home(tmp_path)) as client:
        assert client.lrange("bells", 0, -1) == [b"one"]


def test_its_configuration_is_for_its_owner(tmp_path: Path) -> None:
    path = redis_server.configure(Home(tmp_path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("folder", ["plain", "a b#c?d%41;e"])
def test_the_doorbell_rings_through_its_socket(tmp_path: Path, folder: str) -> None:
    home = Home(tmp_path / folder)
    with running(home) as client:
        bell = Doorbell(with_own_secrets(Settings(home=home.root)))
        assert bell.ping()
        assert bell.ring("0" * 32, "interactive")
        assert client.llen("interactive") == 1
        bell.close()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that is shared with other users, and short."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_long_home_gets_a_short_socket_in_a_folder_of_its_own(tmp_path: Path, temporary: Path) -> None:
    home = Home(tmp_path / "deep" / ("x" * 120))
    assert len(str(home.redis_socket)) < MAX_SOCKET_PATH
    assert home.redis_socket != Home(tmp_path / "deep" / ("y" * 120)).redis_socket
    folder = home.redis_socket.parent
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with running(home) as client:
        assert client.ping()


@pytest.mark.parametrize("trap", ["open folder", "link", "file"])
def test_a_temporary_folder_that_others_can_enter_is_refused(tmp_path: Path, temporary: Path, trap: str) -> None:
    folder = temporary / f"hemline-{os.getuid()}"
    match trap:
        case "open folder":
            folder.mkdir()
            folder.chmod(0o770)
        case "link":
            folder.symlink_to(tmp_path)
        case "file":
            folder.touch()
    with pytest.raises(SharedFolderError, match=re.escape(str(folder))):
        _ = Home(tmp_path / ("x" * 120)).redis_socket


def test_a_folder_with_blanks_and_quotes_is_no_obstacle(tmp_path: Path) -> None:
    with running(Home(tmp_path / 'a "fine" place')) as client:
        assert client.ping()
