"""The sample reviews that come with the project."""

import csv
from collections import defaultdict

import pytest

from tests.hemline.conftest import ROOT


@pytest.fixture(scope="module")
def samples() -> list[dict[str, str]]:
    with (ROOT / "hemline/samples/reviews.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_there_are_enough_and_each_is_a_review(samples: list[dict[str, str]]) -> None:
    assert len(samples) >= 60
    assert all(None not in sample and 15 <= len(sample["Review Text"].split()) <= 120 for sample in samples)


def test_the_samples_are_numbered_and_differ(samples: list[dict[str, str]]) -> None:
    assert [sample["Sample"] for sample in samples] == [str(number) for number in range(1, len(samples) + 1)]
    assert len({sample["Review Text"] for sample in samples}) == len(samples)


def test_every_rating_and_all_ages_are_there(samples: list[dict[str, str]]) -> None:
    assert {sample["Rating"] for sample in samples} == set("12345")
    ages = [int(sample["Age"]) for sample in samples if sample["Age"]]
    assert min(ages) < 25
    assert max(ages) > 65


def test_some_lack_a_title_or_an_age_as_real_ones_do(samples: list[dict[str, str]]) -> None:
    assert any(not sample["Title"] for sample in samples)
    assert any(not sample["Age"] for sample in samples)


def test_a_product_has_one_department_and_class(samples: list[dict[str, str]]) -> None:
    kinds = defaultdict(set)
    for sample in samples:
        kinds[sample["Clothing ID"]].add((sample["Division Name"], sample["Department Name"], sample["Class Name"]))
    assert len(kinds) >= 8
    assert all(len(kind) == 1 for kind in kinds.values())
