"""A review's words, and the word pieces that the network reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ml.plan import MAX_LENGTH


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
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    # "[SEP]" typed by a shopper is text like any other.
    tokenizer.encode_special_tokens = True
    pairs = [(review.title, review.text) if review.title else review.text for review in reviews]
    encodings = tokenizer.encode_batch_fast(pairs)
    return Encoded(
        ids=[encoding.ids for encoding in encodings],
        truncated=[bool(encoding.overflowing) for encoding in encodings],
    )


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
