"""Keyset pagination: a page and the opaque cursor of the next one."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from store.errors import UnknownCursorError

Item = TypeVar("Item")
MAX_LIMIT = 200


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Part of a list; `next` is the URL-safe cursor of what follows, or None at the end."""

    items: tuple[Item, ...]
    next: str | None


def encode_cursor(key: int | str) -> str:
    """Make the cursor that continues after `key`."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: type[int] | type[str]) -> int | str:
    """Read a cursor back.

    Raises:
        UnknownCursorError: it is not one that `encode_cursor` made for this list.
    """
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise UnknownCursorError("cursor: not one that this list gave out") from None
    if type(key) is not kind or (isinstance(key, int) and not 0 <= key < 2**63):
        raise UnknownCursorError("cursor: not one that this list gave out")
    return key
