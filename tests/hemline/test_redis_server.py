"""The embedded Redis, started as `hemline up` starts it."""

import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from hemline import redis_server
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
        chosen = {name: client.config_get(name)[name] for name in ("port", "maxmemory-policy", "appendfsync")}
    assert chosen == {"port": "0", "maxmemory-policy": "noeviction", "appendfsync": "everysec"}


def test_it_keeps_what_it_was_given(tmp_path: Path) -> None:
    with running(Home(tmp_path)) as client:
        client.rpush("bells", "one")
    with running(Home(tmp_path)) as client:
        assert client.lrange("bells", 0, -1) == [b"one"]


def test_its_configuration_is_for_its_owner(tmp_path: Path) -> None:
    path = redis_server.configure(Home(tmp_path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_doorbell_rings_through_its_socket(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with running(home):
        bell = Doorbell(with_own_secrets(Settings(home=tmp_path)))
        assert bell.ring("0" * 32, "interactive")
        assert bell.bells("interactive") == 1
        bell.close()


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / ("x" * 120))
    assert len(str(home.redis_socket)) < MAX_SOCKET_PATH
    assert home.redis_socket != Home(tmp_path / "deep" / ("y" * 120)).redis_socket


def test_a_folder_with_blanks_and_quotes_is_no_obstacle(tmp_path: Path) -> None:
    with running(Home(tmp_path / 'a "fine" place')) as client:
        assert client.ping()
