"""Keyset pagination: a page and the opaque cursor of the next one."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from store.errors import UnknownCursorError
from store.schema import JOB_ID_LENGTH

Item = TypeVar("Item")
MAX_LIMIT = 200
MAX_ROW_ID = 2**63 - 1
_JOB_ID = re.compile(rf"[0-9a-f]{{{JOB_ID_LENGTH}}}")


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
    if type(key) is not kind or not _is_id(key):
        raise UnknownCursorError("cursor: not one that this list gave out")
    return key


def _is_id(key: int | str) -> bool:
    # Whatever else a crafted cursor holds, such as NUL or a lone surrogate, must not reach the database.
    return 0 <= key <= MAX_ROW_ID if isinstance(key, int) else _JOB_ID.fullmatch(key) is not None
