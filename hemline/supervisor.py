"""Keeps a group of processes running, and ends all of it.

Each child leads a process group of its own inside our session: a Ctrl-C reaches only the supervisor, which drains the
children in order, and whatever a dead child leaves behind is killed with its group. The kernel ends the children when
the supervisor itself is killed (worker/tether.py).
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from worker import tether

TETHER = Path(tether.__file__)
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 5.0
SETTLED_AFTER_S = 20.0  # a child that lived this long starts again without delay
READ_BYTES = 65_536  # also the longest line: one that never ends would fill the memory

Line = Callable[[str, str], None]


@dataclass(frozen=True)
class Program:
    """What to run: its name in the log, its command and environment, and the seconds that it may take to drain."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    drain_s: float


@dataclass
class Child:
    """One program, started again whenever it ends, until it is stopped."""

    program: Program
    line: Line
    popen: subprocess.Popen[bytes] | None = None
    starts: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep_running(self) -> None:
        """Run the program for ever, with a growing pause after each early end."""
        delay_s = FIRST_DELAY_S
        while not self._stopping.is_set():
            began = time.monotonic()
            how = await self._run_once()
            if self._stopping.is_set():
                return
            delay_s = FIRST_DELAY_S if time.monotonic() - began > SETTLED_AFTER_S else delay_s
            self.line("hemline", f"{self.program.name} {how}; it starts again in {delay_s:g} s")
            await _wait(self._stopping, delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def run_to_end(self) -> int | None:
        """Run the program once and return its exit status, None when it was stopped before it started."""
        if self._stopping.is_set():
            return None
        await self._run_once()
        return self.popen.returncode if self.popen else None

    async def _run_once(self) -> str:
        try:
            self._ended.clear()
            self.popen = _start(self.program)
        except OSError as error:
            return f"could not be started ({error})"
        self.starts += 1
        output = asyncio.ensure_future(self._copy_output(self.popen))
        self.look()  # it may have ended before its SIGCHLD could find it
        await self._ended.wait()
        self.kill_group()
        await asyncio.wait({output}, timeout=1)
        output.cancel()
        return _how_it_ended(self.popen.returncode)

    async def _copy_output(self, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdout is not None  # noqa: S101 (a pipe was asked for)
        reader = asyncio.StreamReader(limit=READ_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), popen.stdout
        )
        rest = b""
        try:
            while chunk := await reader.read(READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) >= READ_BYTES:
                    lines.append(rest)
                    rest = b""
                for line in lines:
                    self.line(self.program.name, line.decode(errors="replace"))
        finally:
            if rest:
                self.line(self.program.name, rest.decode(errors="replace"))
            transport.close()

    def look(self) -> None:
        """Notice that the process ended; call it on SIGCHLD."""
        if self.popen is not None and self.popen.poll() is not None:
            self._ended.set()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ask the process to drain, wait as long as it may take or until `hurry`, then kill what is left of it."""
        self._stopping.set()
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.terminate()
        await _wait_for_any(self._ended, hurry, timeout_s=self.program.drain_s)
        self.kill_group()

    def kill_group(self) -> None:
        """Kill the process and whatever it started. Never later than just after its end: its number may be reused."""
        if self.popen is not None:
            with suppress(ProcessLookupError, PermissionError):  # nothing is left of it
                os.killpg(self.popen.pid, signal.SIGKILL)


class Group:
    """The children of one installation."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._look)

    def keep(self, program: Program) -> None:
        """Run a program from now on."""
        child = self._add(program)
        self._tasks.append(asyncio.ensure_future(child.keep_running()))

    async def run(self, program: Program) -> int | None:
        """Run a program once, to its end; its exit status, or None when the group was stopped first."""
        return await self._add(program).run_to_end()

    def _add(self, program: Program) -> Child:
        child = Child(program, self._line)
        self.children.append(child)
        return child

    def _look(self) -> None:
        for child in self.children:
            child.look()

    async def stop(self, order: Sequence[Sequence[str]], hurry: asyncio.Event) -> None:
        """Stop every child, stage by stage: first those that are not in `order`. Those of a stage stop side by side."""
        ranks = {name: rank for rank, names in enumerate(order) for name in names}
        for stage in range(-1, len(order)):
            members = [child for child in self.children if ranks.get(child.program.name, -1) == stage]
            await asyncio.gather(*(child.stop(hurry) for child in members))
        await asyncio.gather(*self._tasks)


def _start(program: Program) -> subprocess.Popen[bytes]:
    # The kernel's tether watches the thread that starts the child: it has to be the main thread, which never ends.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *program.argv],
        env=dict(program.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)


async def _wait_for_any(*events: asyncio.Event, timeout_s: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for future in waiting:
        future.cancel()
