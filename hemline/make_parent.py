"""Noticing that `make`, whose recipe we are, was interrupted.

GNU make forwards SIGTERM to its recipes but not a SIGINT that was sent to it alone: it restores that signal's default
action, then waits for the recipe to end. A recipe that does not notice would run on for ever.

Source: GNU make, src/commands.c, fatal_error_signal; proc_pid_status(5), SigCgt.
"""

import os
import signal
from pathlib import Path

MAKE_NAMES = frozenset({"make", "gmake"})


class MakeParent:
    """The make that runs us, if one does; elsewhere, and where there is no /proc, nothing is ever noticed."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._watched = _name(self._pid) in MAKE_NAMES and _catches_interrupt(self._pid)

    def was_interrupted(self) -> bool:
        """Whether make has got a SIGINT, or is gone."""
        return self._watched and (os.getppid() != self._pid or not _catches_interrupt(self._pid))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _catches_interrupt(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)
