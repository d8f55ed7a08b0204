"""The model card, written from the evaluation record."""

from typing import Any

from ml.artifact import Manifest

METRICS = (
    ("rating", "accuracy", "Accuracy"),
    ("rating", "macro_f1", "Macro-F1"),
    ("rating", "qwk", "Quadratic kappa"),
    ("rating", "mae_stars", "Mean error, stars"),
    ("rating", "ece", "Calibration error (10 bins)"),
    ("age", "mae", "Mean error of age, years"),
    ("age", "r2", "R² of age"),
    ("age", "coverage_90", "Share inside the 90 % age interval"),
    ("age", "mean_interval_width", "Mean width of that interval, years"),
)

TEXT = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-classification
tags: [distilbert, clothing-reviews, ordinal-regression, age-estimation]
---

# Hemline {version}

Reads an English clothing review (title and text) and says how many stars its words are worth (1 to 5) and how old its
writer probably is. One DistilBERT encoder ({backbone}), two heads, and a linear bag of word pieces for age.

## How good it is

{note}{table}
{over_seeds}
Rating figures: {n_rating} reviews; age figures: {n_age}. In brackets: 95 % bootstrap interval.

## What it cannot do

- **Age from text is a weak guess.** The 90 % interval is about {width} years wide, hardly narrower than one that
  ignores the text. Do not decide anything about a person by it; use it for groups, with the interval shown.
- The data are reviews of one women's clothing shop, in English, from about 2017. Other shops, goods, languages and
  writers are outside what was measured. Most of its writers are 30 to 55 years old and give five stars.
- Very young and very old writers are pulled to the middle: coverage by *true* age is far below 90 % at both ends.
- Only the first {max_length} word pieces are read; longer reviews lose their end.

## How it was made

Training: {training}

Data: {data}

## Use

`DistilBertForReviews` and its configuration live in the `ml` package of Hemline; `ml.network.register()` makes
`AutoModel.from_pretrained` know them. The logits are to be divided by `config.temperature`; the age is
`config.age_mean + config.age_scale · age`.
"""


def write(manifest: Manifest, record: dict[str, Any], *, max_length: int) -> str:
    """Return the card in Markdown."""
    note = record.get("note")
    return TEXT.format(
        version=manifest.version,
        backbone=manifest.backbone,
        note=f"{note}\n\n" if note else "",
        table=_table(record),
        over_seeds=_over_seeds(record),
        n_rating=record["rating"]["n"],
        n_age=record["age"]["n"],
        width=_number(record["age"]["mean_interval_width"], digits=0),
        max_length=max_length,
        training=_pairs(manifest.training),
        data=_pairs(manifest.data),
    )


def _table(record: dict[str, Any]) -> str:
    lines = ["| | this model | TF-IDF + linear | majority / mean |", "|---|---|---|---|"]
    for head, name, label in METRICS:
        rivals = record["baselines"]
        ends = record["intervals"][head][name]
        spread = f" [{_number(ends[0])}, {_number(ends[1])}]" if ends else ""
        figures = [_number(rivals[rival][head][name]) for rival in ("tfidf", "majority")]
        lines.append(f"| {label} | {_number(record[head][name])}{spread} | {figures[0]} | {figures[1]} |")
    return "\n".join(lines)


def _over_seeds(record: dict[str, Any]) -> str:
    """Say how far the recipe's figures move with the seed, where several were judged."""
    if len(record.get("seeds", [])) < 2:
        return ""
    spread = [
        f"{label} {_number(figure['mean'])} ± {_number(figure['sd'])}"
        for head, name, label in METRICS
        if (figure := record["over_seeds"][head][name])
    ]
    return f"\nOver {len(record['seeds'])} seeds, mean ± standard deviation: {'; '.join(spread)}.\n"


def _number(value: float | None, *, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) + "."
