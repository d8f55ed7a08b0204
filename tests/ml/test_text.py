from ml.backbones import Backbone
from ml.text import ReviewText, encode, pad

CLS, SEP = 101, 102


def test_title_and_text_are_a_pair(small_backbone: Backbone) -> None:
    tokenizer = small_backbone.tokenizer()
    both, alone, empty_title = encode(
        tokenizer, [ReviewText("nice", "dress"), ReviewText(None, "dress"), ReviewText("", "dress")]
    ).ids
    nice, dress = tokenizer.token_to_id("nice"), tokenizer.token_to_id("dress")
    assert both == [CLS, nice, SEP, dress, SEP]
    assert alone == empty_title == [CLS, dress, SEP]


def test_a_long_body_is_cut_and_said_to_be(small_backbone: Backbone) -> None:
    encoded = encode(small_backbone.tokenizer(), [ReviewText("nice", "dress " * 200), ReviewText(None, "dress")])
    assert [len(ids) for ids in encoded.ids] == [128, 3]
    assert encoded.truncated == [True, False]
    nice = small_backbone.tokenizer().token_to_id("nice")
    assert encoded.ids[0][1:3] == [nice, SEP]


def test_a_shopper_cannot_type_a_separator(small_backbone: Backbone) -> None:
    ids = encode(small_backbone.tokenizer(), [ReviewText(None, "a [SEP] [PAD] b")]).ids[0]
    assert ids.count(SEP) == 1
    assert 0 not in ids


def test_padding_marks_what_is_there() -> None:
    padded, mask = pad([[5, 6], [7]])
    assert padded.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]
