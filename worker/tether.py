"""Ties a program to its parent: `python -I -S tether.py PARENT_PID PROGRAM ARGUMENT…`.

A script that becomes the program, so that the kernel terminates the program when its parent dies, even by SIGKILL.
It is not done between fork and exec in the parent, where only async-signal-safe calls are safe; it imports next to
nothing, because it runs before every child.

Source: prctl(2), PR_SET_PDEATHSIG (kept over execve, cleared by fork). Only Linux has it; elsewhere this script just
becomes the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, argv: list[str]) -> None:
    """Set the signal, make sure that the parent did not die before that, and become the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)
    os.execvp(argv[0], argv)  # noqa: S606 (there is no shell on purpose)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
