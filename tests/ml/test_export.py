from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from ml import export
from tests.ml.conftest import in_float32, made_up_reviews


def test_the_stars_only_export_gives_the_same_probabilities_through_plain_transformers(
    version_folder: Path, tmp_path: Path
) -> None:
    export.register()
    folder = str(export.export_stars_only(version_folder, tmp_path / "stars"))
    reviews = made_up_reviews(9).reviews
    classify = pipeline("text-classification", model=folder, tokenizer=folder, top_k=None, device=-1)
    inputs = [{"text": one.title, "text_pair": one.text} if one.title else {"text": one.text} for one in reviews]
    ours = in_float32(version_folder).predict(reviews)
    for answers, prediction in zip(classify(inputs), ours, strict=True):
        by_stars = {int(answer["label"].split()[0]): answer["score"] for answer in answers}
        said = [by_stars[stars] for stars in range(1, 6)]
        assert said == pytest.approx(prediction.rating_probabilities, abs=1e-4)


def test_the_export_holds_no_age(version_folder: Path, tmp_path: Path) -> None:
    export.register()
    folder = export.export_stars_only(version_folder, tmp_path / "stars")
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    assert not [name for name in model.state_dict() if "age" in name]
