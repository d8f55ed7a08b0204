"""Processes that an earlier `hemline up` on the same HOME left behind when it was killed."""

import os
from contextlib import suppress

import psutil

from hemline.home import Home
from hemline.redis_server import PROGRAMS

MARK = "HEMLINE_UP"  # in the environment of every supervised process: the HOME that it serves
PATIENCE_S = 5.0


def end_orphans(home: Home) -> int:
    """End what still runs for this HOME and return how many processes that were.

    Call it with the HOME locked: no other supervisor lives then, so whatever carries the mark is an orphan.
    """
    found = [process for process in psutil.process_iter() if process.pid != os.getpid() and _is_ours(process, home)]
    for process in found:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(found, timeout=PATIENCE_S)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=PATIENCE_S)
    return len(found)


def _is_ours(process: psutil.Process, home: Home) -> bool:
    try:
        if process.uids().real != os.getuid():
            return False
        if process.environ().get(MARK) == str(home.root):
            return True
        # Redis writes its title over its environment, but it works in its own folder.
        return process.name() in PROGRAMS and process.cwd() == str(home.redis_folder)
    except psutil.Error:
        return False


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()
