"""What `hemline up` writes: its children's lines behind their names, and its own."""

import os
import select
import sys

COLOURS = {"redis": 35, "web": 36, "worker": 32, "sweeper": 33, "starter": 34, "hemline": 1}
WIDTH = max(map(len, COLOURS))
ATOMIC_BYTES = 4096  # what a pipe takes without blocking once it reports that it is writable (PIPE_BUF on Linux)


class Console:
    """Writes whole lines to standard output and never waits for its reader.

    A supervisor that blocks on a full pipe could not answer a signal; it drops lines instead and says how many.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._coloured = os.isatty(self._descriptor) and "NO_COLOR" not in os.environ
        self._dropped = 0

    def say(self, text: str) -> None:
        """Write lines of our own."""
        for line in text.splitlines():
            self.line("hemline", line)

    def line(self, name: str, text: str) -> None:
        """Write one line of the process called `name`."""
        if self._dropped:
            notice = self._prefixed("hemline", f"{self._dropped} lines were not read and are lost")
            self._dropped = 0 if self._write(notice) else self._dropped
        if not self._write(self._prefixed(name, text)):
            self._dropped += 1

    def _prefixed(self, name: str, text: str) -> bytes:
        label = name.ljust(WIDTH)
        if self._coloured:
            label = f"\x1b[{COLOURS.get(name, 0)}m{label}\x1b[0m"
        return f"{label} | {text}\n".encode(errors="replace")

    def _write(self, data: bytes) -> bool:
        while data:
            try:
                if not select.select([], [self._descriptor], [], 0)[1]:
                    return False
                data = data[os.write(self._descriptor, data[:ATOMIC_BYTES]) :]
            except OSError:  # the reader is gone: that is no reason to stop serving
                return False
        return True
