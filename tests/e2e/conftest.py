"""A real installation: `hemline up` on a free port and a HOME of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "end-to-end-token-of-enough-characters"
READY_WITHIN_S = 180.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Installation:
    """One `hemline up` and a way to talk to it."""

    home: Path
    port: int
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)
    ready_after_s: float = field(init=False)

    def start(self) -> None:
        began = time.monotonic()
        self.launch()
        until(self.is_ready, within_s=READY_WITHIN_S, reason=self.log)
        self.ready_after_s = time.monotonic() - began

    def launch(self) -> None:
        """Start it and wait for nothing."""
        variables = {"HOME": str(self.home), "PORT": str(self.port), "ADMIN_TOKEN": TOKEN, "LEASE_S": "3"}
        chosen = {**variables, **self.variables}
        environment = {**os.environ, **{f"HEMLINE_{name}": value for name, value in chosen.items()}}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hemline", "up"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log_path(self) -> Path:
        return self.home.with_suffix(".log")

    def log(self) -> str:
        """What it printed."""
        return self.log_path.read_text(errors="replace")

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        return self.get("/readyz?all=1").status == 200

    def get(self, path: str) -> Answer:
        return self._call(urllib.request.Request(self._url(path), headers=self._headers()))

    def post(self, path: str, body: object, **headers: str) -> Answer:
        request = urllib.request.Request(self._url(path), json.dumps(body).encode(), self._headers() | headers)
        return self._call(request)

    def upload(self, path: str, file: Path, **fields: str) -> Answer:
        """Send a file with its form fields."""
        request = httpx.Request("POST", self._url(path), files={"file": (file.name, file.read_bytes())}, data=fields)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": request.headers["Content-Type"]}
        return self._call(urllib.request.Request(self._url(path), request.read(), headers))

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def _call(self, request: urllib.request.Request) -> Answer:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=40) as response:
                return Answer(response.status, dict(response.headers), json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), _json_or_none(error.read()))
        except OSError as error:
            return Answer(0, {}, str(error))

    def wait_for_job(self, location: str, *, within_s: float = 60) -> Any:
        """The job once it is final."""
        seen: list[Any] = []

        def is_final() -> bool:
            seen[:] = [self.get(location).body]
            return isinstance(seen[0], dict) and seen[0]["state"] in {"succeeded", "failed", "cancelled"}

        until(is_final, within_s=within_s, reason=lambda: seen)
        return seen[0]

    def family(self) -> list[psutil.Process]:
        """Every process under the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, what: str) -> psutil.Process:
        """The supervised process whose command ends so, or that has this name."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.cmdline()[-1:] == [what] or child.name() == what)

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, list[psutil.Process]]:
        """Stop it; its exit status and what is still running of it."""
        family = self.family()
        self.process.send_signal(number)
        status = self.process.wait(35)
        return status, [process for process in family if process.is_running() and process.status() != "zombie"]

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if not hasattr(self, "process"):
            return
        family = self.family() if self.process.poll() is None else []
        for process in [*family, self.process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def until(happened: Callable[[], bool], *, within_s: float, reason: Callable[[], object] = str) -> None:
    """Wait for something to happen, and say what was seen when it does not."""
    ends_at = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < ends_at, reason()
        time.sleep(0.1)


def free_port() -> int:
    """A port on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """A running installation, shared by the tests of a module."""
    with tempfile.TemporaryDirectory(prefix="hemline-e2e-") as folder:
        made = Installation(Path(folder) / "home", free_port())
        try:
            made.start()
            yield made
        finally:
            made.end()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Installation]:
    """An installation for one test, which starts it; nothing of it is left afterwards."""
    made = Installation(tmp_path / "home", free_port())
    yield made
    made.end()
