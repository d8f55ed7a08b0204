"""A tiny network (2 layers, width 16, fixed seed) over the real vocabulary, and reviews to feed it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import DistilBertConfig

from ml import artifact, backbones, candidate, training
from ml.backbones import Backbone
from ml.data import ReviewTable
from ml.inference import Predictor, load_network
from ml.network import DistilBertForReviews
from ml.plan import BackboneName, TrainingPlan
from ml.text import ReviewText

GOOD = ["lovely soft dress, fits perfectly", "my new favourite, so flattering", "gorgeous colour and great quality"]
BAD = ["cheap itchy fabric, sent it back", "runs huge and falls apart, returned", "awful fit, very disappointed"]


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    return backbones.load(BackboneName.TINY).tokenizer_json


@pytest.fixture(scope="session")
def small_backbone(tokenizer_json: str) -> Backbone:
    config = DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, dropout=0.1, attention_dropout=0.0)
    return Backbone(BackboneName.TINY, config, backbones.random_weights(config, seed=0), tokenizer_json)


@pytest.fixture
def small_model(small_backbone: Backbone) -> DistilBertForReviews:
    """An untrained network whose wide term has something to say."""
    config = training.config_of(small_backbone, TrainingPlan(), age_mean=43.0, age_scale=12.0)
    torch.manual_seed(0)  # of poolings and heads: figures of a test must not hang on what ran before it
    model = DistilBertForReviews(config)
    model.distilbert.load_state_dict(small_backbone.weights)
    weight = np.random.default_rng(0).normal(size=model.wide_age.weight.shape).astype(np.float16)
    model.wide_age.set(weight, 0.1)
    return model.eval()


@pytest.fixture
def small_predictor(small_model: DistilBertForReviews, small_backbone: Backbone) -> Predictor:
    return Predictor(small_model, small_backbone.tokenizer(), version="small")


def made_up_reviews(n: int, *, seed: int = 0) -> ReviewTable:
    """Reviews whose stars and ages follow from their words, all different."""
    random = np.random.default_rng(seed)
    reviews, ratings, ages = [], [], []
    for number in range(n):
        is_good, is_old = bool(random.integers(2)), bool(random.integers(2))
        words = str(random.choice(GOOD if is_good else BAD))
        reviews.append(ReviewText("Classic" if is_old else None, f"{words} order {number}"))
        ratings.append(random.choice([4, 5] if is_good else [1, 2]))
        ages.append(random.normal(60 if is_old else 30, 4))
    groups = tuple("Tops" if number % 2 else "Dresses" for number in range(n))
    return ReviewTable(
        tuple(reviews), np.array(ratings, np.float32), np.array(ages, np.float32), groups, ("Knits",) * n
    )


def write_csv(path: Path, table: ReviewTable) -> Path:
    lines = ["Clothing ID,Age,Title,Review Text,Rating,Department Name,Class Name"]
    lines += [
        f'{number},{age:.0f},{review.title or ""},"{review.text}",{rating:.0f},{department},{class_name}'
        for number, (review, rating, age, department, class_name) in enumerate(
            zip(table.reviews, table.ratings, table.ages, table.departments, table.class_names, strict=True)
        )
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def version_folder(small_model: DistilBertForReviews, small_backbone: Backbone, tmp_path: Path) -> Path:
    """A sealed model version without evaluation or baselines."""
    from ml import artifact

    folder = tmp_path / "version"
    with artifact.replacing(folder) as staging:
        candidate.write_network(small_model, small_backbone.tokenizer_json, staging)
        artifact.seal(staging, artifact.Manifest(version="small", created="2026-01-01", backbone="tiny"))
    return folder


def in_float32(folder: Path) -> Predictor:
    """A version as it was judged; `Predictor.load` takes bfloat16 where the processor has it, which rounds more."""
    tokenizer = Tokenizer.from_file(str(folder / artifact.TOKENIZER))
    return Predictor(load_network(folder), tokenizer, version="")
