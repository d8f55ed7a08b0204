"""What `hemline up` refuses, and how it notices that it has to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hemline import redis_server
from hemline.console import Console
from hemline.home import Home
from hemline.orphans import MARK, end_orphans
from tests.hemline.conftest import ROOT, Hemline


def test_a_taken_port_is_refused_before_anything_starts(hemline: Hemline, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = hemline("up", HEMLINE_PORT=port)
    assert ended.status == 1
    assert ended.errors.startswith(f"error: cannot listen on 127.0.0.1:{port}")
    assert "HEMLINE_PORT" in ended.errors
    assert not (tmp_path / "home/redis").exists()


def test_a_second_supervisor_of_the_same_home_is_refused(hemline: Hemline, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with home.locked():
        ended = hemline("up", "--json")
    assert ended.status == 1
    assert str(os.getpid()) in ended.document["error"]["message"]


def test_orphans_of_this_home_are_ended_and_others_are_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(command, env={**os.environ, MARK: str(tmp_path)})
    other = subprocess.Popen(command, env={**os.environ, MARK: str(tmp_path / "elsewhere")})
    try:
        _wait_until_marked(ours, other)
        assert end_orphans(Home(tmp_path)) == 1
        assert not psutil.pid_exists(ours.pid)
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_an_orphan_that_holds_our_port_does_not_block_the_start(tmp_path: Path) -> None:
    listens = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
    home = tmp_path / "home"
    home.mkdir()
    (home / "redis").touch()  # no folder can be made there: the start ends just after what is tested here
    environment = {**os.environ, "HEMLINE_HOME": str(home)}
    command = [sys.executable, "-c", listens + "time.sleep(60)"]
    with subprocess.Popen(
        command, env={**environment, MARK: str(home.resolve())}, stdout=subprocess.PIPE, text=True
    ) as orphan:
        assert orphan.stdout is not None
        up = [sys.executable, "-m", "hemline", "up", "--port", orphan.stdout.readline().strip()]
        ended = subprocess.run(up, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert orphan.wait(5) == -signal.SIGTERM
    assert "ended 1 processes that an earlier run had left behind" in ended.stdout
    assert "cannot listen" not in ended.stderr


@pytest.mark.parametrize("name", redis_server.PROGRAMS)
def test_an_orphaned_redis_is_found_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home")
    home.redis_folder.mkdir(parents=True)
    program = tmp_path / name
    program.symlink_to(redis_server.find_program())
    command = [program, "--port", "0", "--unixsocket", str(tmp_path / "socket")]
    with subprocess.Popen(command, cwd=home.redis_folder, stdout=subprocess.DEVNULL) as server:
        try:
            while not (tmp_path / "socket").exists():
                time.sleep(0.01)
            assert end_orphans(home) == 1
            assert server.wait(5) is not None
        finally:
            server.kill()


def _wait_until_marked(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        while MARK not in psutil.Process(process.pid).environ():
            time.sleep(0.01)  # between fork and exec it still has our environment


def test_an_interrupt_of_make_alone_reaches_its_recipe(tmp_path: Path) -> None:
    watcher = "import time; from hemline.make_parent import MakeParent; make = MakeParent(); print('up', flush=True)\n"
    watcher += "while not make.was_interrupted(): time.sleep(0.05)\nprint('noticed', flush=True)"
    (tmp_path / "watch.py").write_text(watcher)
    (tmp_path / "Makefile").write_text(f"up:\n\t@exec {sys.executable} watch.py\n")
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # there when make runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer} | {"PYTHONPATH": str(ROOT)}
    # Tests that run in the background have SIGINT ignored, and their children would inherit that.
    heeding = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp('make', ['make', 'up'])"
    command = [sys.executable, "-c", heeding]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as make:
        assert make.stdout is not None
        assert make.stdout.readline() == "up\n"
        time.sleep(0.3)
        assert make.poll() is None
        make.send_signal(signal.SIGINT)
        assert make.stdout.readline() == "noticed\n"
        assert make.wait(5) != 0


def test_a_full_pipe_never_stops_the_supervisor() -> None:
    reading, writing = os.pipe()
    console = Console(writing)
    for _ in range(2_000):
        console.line("web", "x" * 100)
    os.read(reading, 1_000_000)
    console.line("web", "after")
    said = os.read(reading, 1_000_000).decode()
    assert "lines were not read and are lost" in said
    assert said.endswith("web     | after\n")
    os.close(writing)
    os.close(reading)


def test_a_reader_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    Console(writing).line("web", "hello")
    os.close(writing)


@pytest.mark.parametrize("text", ["one\ntwo"])
def test_own_lines_are_prefixed_one_by_one(text: str) -> None:
    reading, writing = os.pipe()
    Console(writing).say(text)
    assert os.read(reading, 1000) == b"hemline | one\nhemline | two\n"
    os.close(writing)
    os.close(reading)
