"""A review's words, and the word pieces that the network reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ml.plan import MAX_LENGTH

APOSTROPHES = frozenset("'\N{RIGHT SINGLE QUOTATION MARK}")


@dataclass(frozen=True, slots=True)
class ReviewText:
    """What a shopper wrote; the title may be missing, the text is what counts."""

    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """Word-piece ids of reviews, in their order, unpadded.

    Attributes:
        ids: one list per review, [CLS] title [SEP] text [SEP], at most `max_length` long.
        truncated: whether words were cut off.
    """

    ids: list[list[int]]
    truncated: list[bool]


def encode(tokenizer: Tokenizer, reviews: Sequence[ReviewText], *, max_length: int = MAX_LENGTH) -> Encoded:
    """Turn reviews into word-piece ids.

    Title and body go in as a pair, not as joined text: the [SEP] between them tells the encoder where the headline
    ends, word n-grams never run across it, and truncation takes from the longer of the two, in practice the body.

    Args:
        tokenizer: a word-piece tokenizer without truncation or padding of its own.
        reviews: any number, texts of any length.
        max_length: word pieces to keep per review, specials included.
    """
    _configure(tokenizer, max_length)
    encodings = tokenizer.encode_batch_fast([_pair(review) for review in reviews])
    return Encoded(
        ids=[encoding.ids for encoding in encodings],
        truncated=[bool(encoding.overflowing) for encoding in encodings],
    )


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a review, or the part of one that is read: characters `start` to `end` of the title or the text.

    Attributes:
        part: where it stands.
        start: its first character.
        end: the one after its last.
        pieces: its word pieces, by their places in the encoded review.
    """

    part: Literal["title", "text"]
    start: int
    end: int
    pieces: tuple[int, ...]


def encode_words(
    tokenizer: Tokenizer, review: ReviewText, *, max_length: int = MAX_LENGTH
) -> tuple[Encoded, list[Word]]:
    """Encode one review as `encode` does, and say which word each piece comes from.

    The words are in order and do not overlap. "don't" is one word; a comma or an emoji is one of its own.
    """
    _configure(tokenizer, max_length)
    pair = _pair(review)
    encoding = tokenizer.encode(*pair) if isinstance(pair, tuple) else tokenizer.encode(pair)
    encoded = Encoded([encoding.ids], [bool(encoding.overflowing)])
    words: list[Word] = []
    pieces = zip(encoding.sequence_ids, encoding.word_ids, encoding.offsets, strict=True)
    last_number = None
    for place, (sequence, number, (start, end)) in enumerate(pieces):
        if sequence is None:
            continue
        part: Literal["title", "text"] = "title" if sequence == 0 and isinstance(pair, tuple) else "text"
        before = words[-1] if words and words[-1].part == part else None
        source = (review.title or "") if part == "title" else review.text
        if before and (number == last_number or start < before.end or _is_inside_word(source, before.end, start)):
            words[-1] = Word(part, before.start, max(before.end, end), (*before.pieces, place))
        else:
            words.append(Word(part, start, end, (place,)))
        last_number = number
    return encoded, words


def _is_inside_word(source: str, before: int, start: int) -> bool:
    """Whether nothing but an apostrophe between two letters ends a word here: "don|'|t"."""
    if before != start or not 0 < start < len(source):
        return False
    at = start if source[start] in APOSTROPHES else start - 1
    return source[at] in APOSTROPHES and source[at - 1 : at].isalpha() and source[at + 1 : at + 2].isalpha()


def _configure(tokenizer: Tokenizer, max_length: int) -> None:
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    # "[SEP]" typed by a shopper is text like any other.
    tokenizer.encode_special_tokens = True


def _pair(review: ReviewText) -> tuple[str, str] | str:
    return (review.title, review.text) if review.title else review.text


def pad(ids: Sequence[Sequence[int]], *, pad_id: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make one rectangle of unequal rows.

    Returns:
        Ids and attention mask, both (batch, longest) int64; the mask is 1 where a word piece stands.
    """
    longest = max(len(row) for row in ids)
    padded = np.full((len(ids), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, pieces in enumerate(ids):
        padded[row, : len(pieces)] = pieces
        mask[row, : len(pieces)] = 1
    return padded, mask
