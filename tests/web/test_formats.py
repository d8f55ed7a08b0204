"""How values read on a page."""

import pytest

from web.formats import count, duration, excerpt, ticks


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "\N{EN DASH}"),
        (-0.2, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3 * 3600 + 120, "3 h 2 min"),
        (86_400 * 2 + 3600, "2 d 1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_a_count_carries_its_noun() -> None:
    assert [count(1, "review"), count(1_204, "review")] == ["1 review", "1,204 reviews"]


def test_an_excerpt_is_one_line_cut_at_a_word() -> None:
    assert excerpt("one\n two  three", 50) == "one two three"
    assert excerpt("one two three", 9) == "one two…"


def test_ticks_become_code_and_markup_stays_text() -> None:
    assert ticks("say `<b>` & go") == "say <code>&lt;b&gt;</code> &amp; go"
