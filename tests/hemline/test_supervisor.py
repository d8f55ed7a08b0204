"""The supervisor, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import psutil
import pytest

from hemline.supervisor import READ_BYTES, Child, Group, Program

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("nothing_left")

SLEEPS = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]); print('born', flush=True); "


class Log(list[tuple[str, str]]):
    def line(self, name: str, text: str) -> None:
        self.append((name, text))

    def of(self, name: str) -> list[str]:
        return [text for who, text in self if who == name]


def program(code: str, *, name: str = "child", drain_s: float = 5.0) -> Program:
    return Program(name, [sys.executable, "-c", code], dict(os.environ), drain_s)


async def until(happened: Callable[[], bool], *, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.02)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own, also while the loop of Playwright sleeps in a greenlet of this thread."""
    sleeping = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return asyncio.run(scenario)
    finally:
        asyncio._set_running_loop(sleeping)


def child_of(group: Group) -> Child:
    return group.children[0]


def test_a_child_that_is_killed_starts_again_and_the_log_says_so() -> None:
    async def scenario() -> Log:
        log = Log()
        group = Group(log.line)
        group.keep(program(SLEEPS))
        await until(lambda: child_of(group).popen is not None)
        os.kill(child_of(group).popen.pid, signal.SIGKILL)  # type: ignore[union-attr]  # waited for above
        await until(lambda: child_of(group).starts == 2)
        await group.stop([], asyncio.Event())
        return log

    assert any("SIGKILL" in line for line in run(scenario()).of("hemline"))


def test_a_child_that_cannot_live_is_tried_again_with_growing_pauses() -> None:
    async def scenario() -> Log:
        log = Log()
        group = Group(log.line)
        group.keep(program("raise SystemExit(3)"))
        await until(lambda: child_of(group).starts == 3)
        await group.stop([], asyncio.Event())
        return log

    said = run(scenario()).of("hemline")
    assert "status 3" in said[0]
    assert "0.25 s" in said[0]
    assert "0.5 s" in said[1]


def test_what_a_dead_child_leaves_behind_is_killed() -> None:
    async def scenario() -> list[psutil.Process]:
        log = Log()
        group = Group(log.line)
        group.keep(program(PARENT + "import time; time.sleep(60)"))
        await until(lambda: "born" in log.of("child"))
        family = psutil.Process(child_of(group).popen.pid).children()  # type: ignore[union-attr]  # it spoke
        os.kill(child_of(group).popen.pid, signal.SIGKILL)  # type: ignore[union-attr]  # it spoke
        await until(lambda: child_of(group).starts == 2)
        await group.stop([], asyncio.Event())
        return family

    family = run(scenario())
    assert family
    assert psutil.wait_procs(family, timeout=3)[1] == []


def test_lines_arrive_whole_and_the_last_one_without_its_end() -> None:
    async def scenario() -> Log:
        log = Log()
        await Group(log.line).run(program("print('x' * 60_000); print('bye', end='')"))
        return log

    assert run(scenario()).of("child") == ["x" * 60_000, "bye"]


def test_a_line_without_end_is_cut_and_not_kept() -> None:
    async def scenario() -> Log:
        log = Log()
        await Group(log.line).run(program("import sys; sys.stdout.write('x' * 1_000_000)"))
        return log

    said = run(scenario()).of("child")
    assert sum(map(len, said)) == 1_000_000
    assert max(map(len, said)) <= 2 * READ_BYTES


def test_a_program_run_once_gives_its_status() -> None:
    async def scenario() -> int | None:
        return await Group(Log().line).run(program("raise SystemExit(7)"))

    assert run(scenario()) == 7


def test_a_program_that_does_not_exist_is_tried_again() -> None:
    async def scenario() -> Log:
        log = Log()
        group = Group(log.line)
        group.keep(Program("child", ["/nonexistent/program"], dict(os.environ), 1.0))
        await until(lambda: child_of(group).starts == 2)
        await group.stop([], asyncio.Event())
        return log

    assert any("/nonexistent/program" in text or "No such file" in text for _, text in run(scenario()))


def test_a_deaf_child_is_killed_when_its_time_is_up() -> None:
    async def scenario() -> float:
        log = Log()
        group = Group(log.line)
        group.keep(program(DEAF, drain_s=0.5))
        await until(lambda: log.of("child") == ["deaf"])
        began = time.monotonic()
        await group.stop([], asyncio.Event())
        return time.monotonic() - began

    assert 0.4 < run(scenario()) < 5


def test_a_second_signal_does_not_wait_for_a_deaf_child() -> None:
    async def scenario() -> float:
        log, hurry = Log(), asyncio.Event()
        group = Group(log.line)
        group.keep(program(DEAF, drain_s=30))
        await until(lambda: log.of("child") == ["deaf"])
        began = time.monotonic()
        hurry.set()
        await group.stop([], hurry)
        return time.monotonic() - began

    assert run(scenario()) < 5


def test_children_stop_in_the_order_that_was_asked_for() -> None:
    says = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\n"
    )
    says += "print('up', flush=True); time.sleep(60)"

    async def scenario() -> Log:
        log = Log()
        group = Group(log.line)
        for name in ("redis", "worker", "web"):
            group.keep(program(says, name=name))
        await until(lambda: sum(text == "up" for _, text in log) == 3)
        await group.stop([["web"], ["worker"], ["redis"]], asyncio.Event())
        return log

    assert [name for name, text in run(scenario()) if text == "bye"] == ["web", "worker", "redis"]


SUPERVISES = f"""
import asyncio, os, sys
from hemline.supervisor import Group, Program

async def main():
    group = Group(lambda name, text: print(text, flush=True))
    code = {"import os; print(os.getpid(), flush=True); " + SLEEPS!r}
    group.keep(Program("child", [sys.executable, "-c", code], dict(os.environ), 1.0))
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_children_die_with_a_supervisor_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISES], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
        assert psutil.wait_procs([child], timeout=5)[1] == []
