"""Cursors: what a list gave out comes back, and nothing else reaches the database."""

import base64

import pytest

from store.errors import UnknownCursorError
from store.jobs import new_job_id
from store.paging import decode_cursor, encode_cursor


def test_what_a_list_gave_out_comes_back() -> None:
    job_id = new_job_id()
    assert decode_cursor(encode_cursor(job_id), str) == job_id
    assert decode_cursor(encode_cursor(2**63 - 1), int) == 2**63 - 1


@pytest.mark.parametrize(
    "key",
    [
        '"\\ud800"',
        '"\\u0000"',
        '""',
        '"0123"',
        '"' + "F" * 32 + '"',
        '"' + "0" * 32 + '\\n"',
        "7",
        "true",
        "null",
        "[]",
        "{",
    ],
)
def test_a_crafted_cursor_of_jobs_is_refused(key: str) -> None:
    with pytest.raises(UnknownCursorError):
        decode_cursor(base64.urlsafe_b64encode(key.encode()).decode(), str)


@pytest.mark.parametrize("key", ["-1", "9223372036854775808", "1.0", "true", "null", '"7"', "9" * 5_000])
def test_a_crafted_cursor_of_reviews_is_refused(key: str) -> None:
    with pytest.raises(UnknownCursorError):
        decode_cursor(base64.urlsafe_b64encode(key.encode()).decode(), int)
