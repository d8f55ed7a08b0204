"""JSON as strict as the contract: UTF-8, no duplicate keys, bounded nesting. Safe on hostile input."""

import json
import re

from web.errors import WebError

MAX_DEPTH = 20
MAX_KEYS = 50  # in one object; each unknown one costs an error message

# Possessive, and the closing quote optional: linear on any input, an unterminated string of escapes included.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class MalformedJsonError(WebError):
    """The body is not the JSON that we accept; the message says why, in words for the client."""


def loads(body: bytes) -> object:
    """Parse a request body.

    NaN and Infinity come through as floats: no field accepts them, and the field's own check can name it.

    Raises:
        MalformedJsonError: not UTF-8, not JSON, nested deeper than 20, a key given twice, or an object of
            more than 50 keys.
    """
    if not body.strip():
        raise MalformedJsonError("the body is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"the body is not UTF-8: byte {error.start} cannot be decoded") from None
    _check_depth(text)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise MalformedJsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise MalformedJsonError("a number has too many digits") from None


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        match match.group()[0]:
            case "[" | "{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise MalformedJsonError(f"nested deeper than {MAX_DEPTH} levels")
            case "]" | "}":
                depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_KEYS:
        raise MalformedJsonError(f"an object has more than {MAX_KEYS} keys")
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MalformedJsonError(f"the key {twice!r} is given twice in one object")
    return result
