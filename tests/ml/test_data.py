from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data import SHARES, Part, ReviewTable, part_of, read_csv, read_table, split
from ml.errors import DataError
from ml.text import ReviewText
from tests.ml.conftest import made_up_reviews

HEADER = "Clothing ID,Age,Title,Review Text,Rating,Department Name,Class Name\n"


def written(tmp_path: Path, body: str, *, header: str = HEADER) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text(header + body, "utf-8")
    return path


def test_a_kaggle_shaped_file_is_read_column_by_column(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, '1,33,Nice,"Soft, warm",4,Tops,Knits\n2,,,Too big,,,\n'))
    assert table.reviews == (ReviewText("Nice", "Soft, warm"), ReviewText(None, "Too big"))
    assert table.ratings[0] == 4
    assert np.isnan(table.ratings[1])
    assert table.ages[0] == 33
    assert np.isnan(table.ages[1])
    assert table.departments == ("Tops", "")
    assert table.class_names == ("Knits", "")


def test_headers_match_in_any_case_and_only_the_text_is_needed(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, "Fine\n", header="REVIEW text\n"))
    assert table.reviews == (ReviewText(None, "Fine"),)
    assert np.isnan(table.ratings).all()
    assert np.isnan(table.ages).all()


def test_rows_without_text_are_dropped_and_counted(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, "1,33,Nice,,4,,\n2,33,Nice,   ,4,,\n3,33,,Fine,4,,\n"))
    assert len(table) == 1
    assert table.n_without_text == 2


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan"])
def test_words_that_look_like_missing_values_are_text(tmp_path: Path, word: str) -> None:
    assert read_csv(written(tmp_path, f"1,33,{word},{word},4,,\n")).reviews == (ReviewText(word, word),)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("1,33,,Fine,9,,", "'rating': '9'"),
        ("1,33,,Fine,3.5,,", "'rating': '3.5'"),
        ("1,-1,,Fine,3,,", "'age': '-1'"),
        ("1,old,,Fine,3,,", "'age': 'old'"),
        ("1,inf,,Fine,3,,", "'age': 'inf'"),
    ],
)
def test_an_impossible_label_is_named_with_its_row(tmp_path: Path, row: str, named: str) -> None:
    with pytest.raises(DataError, match=f"data row 2, column {named}"):
        read_csv(written(tmp_path, f"1,33,,Fine,5,,\n{row}\n"))


def test_the_row_named_is_right_beyond_the_first_chunk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data row 10002,"):
        read_csv(written(tmp_path, "1,33,,Fine,5,,\n" * 10_001 + "1,33,,Fine,6,,\n"))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b'Review Text\n"open\n', b"Review Text\n\xff\xfe\n"])
def test_what_is_no_such_csv_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"reviews\.csv"):
        read_csv(path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "absent.csv")


def test_duplicates_never_straddle_the_split() -> None:
    one = ReviewText("Great  Top", "Love it")
    for number in range(200):
        variant = ReviewText("great top", f"LOVE   it\n{number}")
        assert part_of(variant) == part_of(ReviewText(None, f"great top love it {number}"))
    assert part_of(one) == part_of(ReviewText("GREAT TOP", " love it "))


def test_every_row_has_one_part_and_the_shares_are_kept() -> None:
    table = made_up_reviews(4000)
    parts = split(table)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(4000))
    for part, share in SHARES.items():
        assert len(parts[part]) / 4000 == pytest.approx(share, abs=0.02)


def test_a_review_keeps_its_part_whatever_else_is_in_the_file() -> None:
    table = made_up_reviews(300)
    whole, half = split(table)[Part.TEST], split(table.take(np.arange(150)))[Part.TEST]
    assert [row for row in whole if row < 150] == list(half)


def test_taking_rows_keeps_the_columns_together() -> None:
    table: ReviewTable = made_up_reviews(10)
    taken = table.take(np.array([7, 2]))
    assert taken.reviews == (table.reviews[7], table.reviews[2])
    assert list(taken.ages) == [table.ages[7], table.ages[2]]


def stored(tmp_path: Path, **columns: list[object]) -> Path:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_a_dataset_file_is_read_as_the_csv_it_came_from(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        title=["Nice", None, None, "null"],
        text=["Soft, warm", "Too big", "  ", "NA"],
        rating=[4, None, 3, 5],
        age=[33.0, None, 41.0, 52.5],
        department=["Tops", None, None, None],
        class_name=["Knits", None, None, None],
    )
    table = read_table(path)
    assert table.reviews == (ReviewText("Nice", "Soft, warm"), ReviewText(None, "Too big"), ReviewText("null", "NA"))
    assert np.array_equal(table.ratings, np.array([4, np.nan, 5], np.float32), equal_nan=True)
    assert np.array_equal(table.ages, np.array([33, np.nan, 52.5], np.float32), equal_nan=True)
    assert table.departments == ("Tops", "", "")
    assert table.class_names == ("Knits", "", "")
    assert table.n_without_text == 1


def test_a_dataset_file_may_hold_texts_alone(tmp_path: Path) -> None:
    table = read_table(stored(tmp_path, text=["Fine"]))
    assert table.reviews == (ReviewText(None, "Fine"),)
    assert np.isnan(table.ratings).all()


def test_a_dataset_file_that_cannot_serve_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data row 3, column 'rating': '9' is not a number from 1 to 5"):
        read_table(stored(tmp_path, text=["a", "b", "c"], rating=[1, 2, 9]))
    with pytest.raises(DataError, match="has no column 'text'"):
        read_table(stored(tmp_path, words=["a"]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "absent.parquet")


def test_any_other_suffix_is_read_as_csv(tmp_path: Path) -> None:
    assert len(read_table(written(tmp_path, "1,33,Nice,Fine,4,,\n"))) == 1
