"""Ways to run the command line as its users do."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hemline.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        """Its JSON answer."""
        return json.loads(self.output)


Hemline = Callable[..., Ran]


@pytest.fixture
def hemline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hemline:
    """Run `hemline …` on a HOME of its own, in this process: starting Python for each would take most of the time."""

    def run(*arguments: str, **variables: str) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["hemline", *arguments])
            for name, value in {"HEMLINE_HOME": str(tmp_path / "home"), **variables}.items():
                patch.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Whatever the test started has ended when it ends, grandchildren included."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=3)
    for process in alive:
        process.kill()
    assert not alive
