"""The places for requests that wait: half of the threads, so that the others stay free to accept work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore


class WaitingRoom:
    """Bounds how many requests wait at once, and tells them when the server stops."""

    def __init__(self, n_places: int) -> None:
        self._places = BoundedSemaphore(n_places)
        self._is_closing: Callable[[], bool] = lambda: False

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place for the length of the block; False when there is none, or the server stops."""
        is_taken = not self.is_closing and self._places.acquire(blocking=False)
        try:
            yield is_taken
        finally:
            if is_taken:
                self._places.release()

    @property
    def is_closing(self) -> bool:
        """Whether the server stops, so that whoever waits should answer now."""
        return self._is_closing()

    def close_when(self, is_closing: Callable[[], bool]) -> None:
        """Say how to tell that the server stops."""
        self._is_closing = is_closing
