"""What an import keeps of a file, what it leaves out and why, and which files it refuses."""

import csv
import hashlib
import json
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data import normalised, read_parquet
from ml.errors import DataError
from ml.importing import AGE_BANDS, CHUNK_ROWS, REPORTED_REJECTS, SCHEMA, Imported, import_file
from ml.text import ReviewText

KAGGLE = ",Clothing ID,Age,Title,Review Text,Rating,Recommended IND,Positive Feedback Count,Division Name,"
KAGGLE += "Department Name,Class Name\n"


@dataclass(frozen=True)
class Bench:
    """An import of one file, and where it puts what it makes."""

    folder: Path

    @property
    def target(self) -> Path:
        return self.folder / "kept.parquet"

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects.csv"

    def run(self, content: str | bytes, *, mapping: Mapping[str, str] | None = None) -> Imported:
        source = self.folder / "upload.csv"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return import_file(source, target=self.target, rejects=self.rejects, mapping=mapping)

    def kept(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = pq.read_table(self.target).to_pylist()
        return rows

    def left_out(self) -> list[dict[str, str]]:
        with self.rejects.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_public_data_set_s_headers_need_no_mapping(bench: Bench) -> None:
    rows = (
        '0,767,33,,"Soft, and\nwarm",4,1,0,Initmates,Intimate,Intimates\n1,1080,,Love it,Fits.,,1,4,G,Dresses,Dresses\n'
    )
    done = bench.run(KAGGLE + rows)
    assert bench.kept() == [
        {"line": 2, "title": None, "text": "Soft, and\nwarm", "rating": 4, "age": 33.0, "department": "Intimate",
         "class_name": "Intimates", "product_id": "767"},
        {"line": 4, "title": "Love it", "text": "Fits.", "rating": None, "age": None, "department": "Dresses",
         "class_name": "Dresses", "product_id": "1080"},
    ]  # fmt: skip
    assert (done.report.n_rows, done.report.n_rejected) == (2, 0)
    assert (done.report.n_without_rating, done.report.n_without_age, done.report.n_without_label) == (1, 1, 1)
    assert done.sha256 == hashlib.sha256(bench.target.read_bytes()).hexdigest()


@pytest.mark.parametrize("header", ["REVIEW TEXT,rating", " review text , Rating ", "text,RATING", "\ufeffText,Rating"])
def test_headers_are_known_in_any_case(bench: Bench, header: str) -> None:
    bench.run(f"{header}\nFits.,5\n")
    assert [(row["text"], row["rating"]) for row in bench.kept()] == [("Fits.", 5)]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_semicolons_and_tabs_separate_too(bench: Bench, delimiter: str) -> None:
    bench.run(f"text{delimiter}age\nGood, soft{delimiter}40.5\n")
    assert [(row["text"], row["age"]) for row in bench.kept()] == [("Good, soft", 40.5)]


def test_a_mapping_names_other_headers_and_beats_the_known_ones(bench: Bench) -> None:
    bench.run("Title,Body,Sterne\nHeading,Words,3\n", mapping={"text": "title", "rating": "Sterne"})
    row = bench.kept()[0]
    assert (row["text"], row["title"], row["rating"]) == ("Heading", None, 3)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (",5,40,T", "Review Text", "no text"),
        (" \u200b ,5,40,T", "Review Text", "no text"),
        ("Fits.,6,40,T", "Rating", "whole number from 1 to 5"),
        ("Fits.,0,40,T", "Rating", "whole number from 1 to 5"),
        ("Fits.,4.5,40,T", "Rating", "whole number from 1 to 5"),
        ("Fits.,nan,40,T", "Rating", "whole number from 1 to 5"),
        ("Fits.,\u0664,40,T", "Rating", "whole number from 1 to 5"),
        ("Fits.,5,0.5,T", "Age", "number from 1 to 120"),
        ("Fits.,5,121,T", "Age", "number from 1 to 120"),
        ("Fits.,5,1e1,T", "Age", "number from 1 to 120"),
        ("Fits.,5,forty,T", "Age", "number from 1 to 120"),
        ("x" * 50_001 + ",5,40,T", "Review Text", "50,001 characters"),
        ("Fits.,5,40," + "t" * 501, "Title", "501 characters"),
        ("Fi\0ts.,5,40,T", "Review Text", "NUL"),
        ("Fits.,5,40", "", "has 3 cells; the header has 4"),
        ("Fits.,5,40,T,more", "", "has 5 cells; the header has 4"),
        ("x" * 200_000 + ",5,40,T", "", "does not end"),
        ("x" * 2_500_000 + ",5,40,T", "", "does not end"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_a_bad_row_is_left_out_with_its_line_column_and_reason(
    bench: Bench, row: str, column: str, reason: str
) -> None:
    done = bench.run(f"Review Text,Rating,Age,Title\nGood.,5,40,T\n{row}\nBetter.,4,41,T\n")
    assert [kept["text"] for kept in bench.kept()] == ["Good.", "Better."]
    assert [(kept["line"]) for kept in bench.kept()] == [2, 4]
    (out,) = bench.left_out()
    assert (out["line"], out["column"]) == ("3", column)
    assert reason in out["reason"]
    assert len(out["value"]) <= 80
    assert (done.report.n_rows, done.report.n_rejected) == (2, 1)
    (reported,) = done.report.rejects
    assert (reported.line, reported.column or "", reported.reason) == (3, column, out["reason"])


def test_line_numbers_are_those_of_the_file(bench: Bench) -> None:
    bench.run('text,rating\n"two\nlines",5\n\n"three\n\nlines",9\r\nFits.,4\n')
    assert [(row["line"], row["rating"]) for row in bench.kept()] == [(2, 5), (8, 4)]
    assert [out["line"] for out in bench.left_out()] == ["5"]


@pytest.mark.parametrize("cell", ["=1+1", "+9", "-1", "@SUM(A1)", " =1", "\t=1"])
def test_a_rejected_cell_cannot_run_in_a_spreadsheet(bench: Bench, cell: str) -> None:
    bench.run(f"text,rating\nFits.,5\nFits.,{cell}\n")
    assert bench.left_out()[0]["value"].startswith("'")


def test_a_header_cannot_run_in_a_spreadsheet(bench: Bench) -> None:
    bench.run("text,=rating\nFits.,5\nFits.,9\n", mapping={"rating": "=rating"})
    assert bench.left_out()[0]["column"] == "'=rating"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "no header"),
        (b"text,rating\n", "no rows"),
        (b"Rating,Age\n5,40\n", "no column holds the texts"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x1f\x8brest", "gzip"),
        ("text\nFits.\n".encode("utf-16"), "UTF-16"),
        (b"text\nFits.\nna\xefve\n", "line 3"),
        (b"text,Review Text\nFits.,Fits.\n", "both hold the text"),
        (b"PAR1 and nothing more", "Parquet"),
        (b"text,rating\nFits.,9\n,3\n", "line 2, column 'rating'"),
        (b"text," + b"x," * 2_000 + b"\n", "columns"),
    ],
    ids=["empty", "blank", "header only", "no text", "zip", "gzip", "UTF-16", "Latin-1", "two texts", "cut Parquet",
         "no good row", "too wide"],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(bench: Bench, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        bench.run(content)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [({"stars": "Rating"}, "our fields are"), ({"text": "Body"}, "no column is called 'Body'")],
)
def test_a_mapping_that_leads_nowhere_is_refused(bench: Bench, mapping: Mapping[str, str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        bench.run("Review Text,Rating\nFits.,5\n", mapping=mapping)


def test_duplicates_lengths_and_distributions_are_counted(bench: Bench) -> None:
    rows = [("Fits well", 5, 29.5), ("fits  WELL", 5, 30), ("Too small", 1, 60), ("Fine", "", ""), ("a b c d", 3, 120)]
    report = bench.run("text,rating,age\n" + "".join(f"{t},{r},{a}\n" for t, r, a in rows)).report
    assert normalised(ReviewText(None, rows[0][0])) == normalised(ReviewText(None, rows[1][0]))
    assert report.n_duplicates == 1
    assert report.ratings == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 2}
    assert list(report.ages.values()) == [1, 1, 0, 0, 2]
    assert list(report.ages) == [band for _, band in AGE_BANDS]
    assert (report.words["min"], report.words["median"], report.words["max"]) == (1, 2, 4)


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("This dress is lovely and it fits me very well", False),
        ("Das Kleid ist sehr schön und passt mir gut", True),
        ("Cette robe est belle et la taille est parfaite", True),
        ("这件裙子很漂亮", True),
        ("Naïve café", False),
    ],
)
def test_rows_that_look_foreign_are_counted_and_kept(bench: Bench, text: str, is_foreign: bool) -> None:
    report = bench.run(f'text\n"{text}"\n').report
    assert (report.n_rows, report.n_looks_foreign) == (1, int(is_foreign))


def test_a_report_shows_the_first_hundred_rejects_and_the_file_all(bench: Bench) -> None:
    report = bench.run("text,rating\nFits.,5\n" + "Fits.,9\n" * 250).report
    assert (report.n_rejected, len(report.rejects)) == (250, REPORTED_REJECTS)
    assert len(bench.left_out()) == 250


def test_a_report_previews_the_first_rows_and_is_json(bench: Bench) -> None:
    report = bench.run("text,rating\n" + "x" * 400 + ",5\n" + "Fits.,4\n" * 20).report
    preview = json.loads(json.dumps(report.as_json()))["preview"]
    assert [(row["line"], row["rating"]) for row in preview] == [(2, 5), *[(line, 4) for line in range(3, 12)]]
    assert preview[0]["text"] == "x" * 299 + "…"


def test_a_parquet_file_is_read_like_a_csv(bench: Bench, tmp_path: Path) -> None:
    table = pa.table(
        {
            "Review Text": ["Fits.", None, "Runs small.", "Soft."],
            "Rating": pa.array([5.0, 4.0, None, 7.0]),
            "Age": pa.array([40, 41, 42, 43], pa.int16()),
            "Class Name": pa.array(["Knits", "Knits", "", "Knits"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "given.parquet")
    done = bench.run((tmp_path / "given.parquet").read_bytes())
    assert [(row["line"], row["text"], row["rating"], row["age"], row["class_name"]) for row in bench.kept()] == [
        (1, "Fits.", 5, 40.0, "Knits"),
        (3, "Runs small.", None, 42.0, None),
    ]
    assert [(out["line"], out["column"]) for out in bench.left_out()] == [("2", "Review Text"), ("4", "Rating")]
    assert done.report.headers["class_name"] == "Class Name"


def test_a_parquet_column_of_lists_is_refused(bench: Bench, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [["Fits."]]}), tmp_path / "given.parquet")
    with pytest.raises(DataError, match="not text or numbers"):
        bench.run((tmp_path / "given.parquet").read_bytes())


def test_what_was_imported_imports_again_unchanged(bench: Bench) -> None:
    first = bench.run("text,rating,age,title,product_id\nFits.,5,40.5,T,7\nSoft.,4,,,\n")
    rows = bench.kept()
    bench.run(bench.target.read_bytes())
    assert [{**row, "line": 0} for row in bench.kept()] == [{**row, "line": 0} for row in rows]
    assert first.report.n_rows == 2


def test_training_reads_what_was_imported(bench: Bench) -> None:
    bench.run("text,rating,age,title,class_name\nFits.,5,40.5,T,Knits\nSoft.,,,,\n")
    table = read_parquet(bench.target)
    assert table.reviews == (ReviewText("T", "Fits."), ReviewText(None, "Soft."))
    assert (table.ratings[0], table.ages[0], table.class_names) == (5, 40.5, ("Knits", ""))
    assert np.isnan([table.ratings[1], table.ages[1]]).all()


def test_the_same_rows_make_the_same_file(bench: Bench) -> None:
    assert bench.run("text,rating\nFits.,5\n").sha256 == bench.run("rating;Review Text\n5;Fits.\n").sha256


def test_more_rows_than_a_chunk_keep_their_order_and_types(bench: Bench) -> None:
    n = CHUNK_ROWS + 5
    bench.run("text,age\n" + "".join(f"row {i},{i % 90 + 10}\n" for i in range(n)))
    assert pq.read_schema(bench.target) == SCHEMA
    assert [row["text"] for row in bench.kept()] == [f"row {i}" for i in range(n)]


def test_progress_rises_to_the_size_of_the_file(bench: Bench) -> None:
    source = bench.folder / "upload.csv"
    source.write_text("text\n" + "Fits well.\n" * 30_000, encoding="utf-8")
    told: list[tuple[int, int, str]] = []
    import_file(source, target=bench.target, rejects=bench.rejects, progress=lambda *now: told.append(now))
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert 0 < done[0] < done[-1] == source.stat().st_size
    assert told[-1][2] == "30,000 rows kept, 0 rejected"


def test_memory_does_not_grow_with_the_file(bench: Bench) -> None:
    def peak_of(n_rows: int) -> int:
        content = "text,rating\n" + ("A warm and soft jumper. " * 4 + ",5\n") * n_rows
        source = bench.folder / "upload.csv"
        source.write_text(content, encoding="utf-8")
        del content
        tracemalloc.start()
        import_file(source, target=bench.target, rejects=bench.rejects)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak_of(2 * CHUNK_ROWS), peak_of(5 * CHUNK_ROWS)
    assert large < 1.3 * small


def test_an_import_that_is_stopped_stops(bench: Bench) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int, phase: str) -> None:
        raise StoppedError

    source = bench.folder / "upload.csv"
    source.write_text("text\n" + "Fits.\n" * 5_000, encoding="utf-8")
    with pytest.raises(StoppedError):
        import_file(source, target=bench.target, rejects=bench.rejects, progress=stop)
