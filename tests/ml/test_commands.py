import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ml import artifact
from tests.ml.conftest import made_up_reviews, write_csv


def ml(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m ml …` as a program of its own, without HOME, as the contract promises."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
    command = [sys.executable, "-m", "ml", *arguments, "--threads", "1"]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=300, check=False)


def answer(*arguments: str) -> Any:
    finished = ml(*arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", made_up_reviews(90))


def test_the_starter_is_judged_on_any_csv_of_the_public_shape(csv: Path) -> None:
    record = answer("evaluate", "--model", "starter", "--csv", str(csv))
    assert set(record["rating"]) >= {"accuracy", "macro_f1", "qwk", "mae_stars", "ece"}
    assert set(record["age"]) >= {"mae", "rmse", "r2", "coverage_90", "coverage_by_band"}
    assert set(record["baselines"]) == {"majority", "tfidf"}
    assert record["n"] == record["rating"]["n"] == 90
    assert record["rating"]["accuracy"] > 0.3


def test_a_model_is_trained_on_a_csv_and_read_back(csv: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "version")
    made = answer("train", "--csv", str(csv), "--output", folder, "--backbone", "tiny", "--epochs", "1")
    assert made["evaluation"]["rating"]["n"] > 0
    said = answer("predict", "--model", folder, "--text", "lovely soft dress")
    assert said["model"]["model_version"] == made["model_version"]
    assert len(said["predictions"]) == 1
    assert len(said["predictions"][0]["rating_probabilities"]) == 5


def test_one_review_is_explained_word_by_word() -> None:
    text = "Soft, but it runs large."
    told = answer("explain", "--text", text, "--title", "Hm")
    words, prediction = told["explanation"]["words"], told["prediction"]
    assert "large" in [text[word["start"] : word["end"]] for word in words if word["part"] == "text"]
    parts = [told["explanation"]["baseline"], *words, told["explanation"]["unexplained"]]
    assert sum(part["stars"] for part in parts) == pytest.approx(prediction["expected_stars"])
    assert sum(part["years"] for part in parts) == pytest.approx(prediction["age"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("Title,Rating\nx,5\n", "has no column 'Review Text'"),
        ("Review Text,Rating\nfine,9\n", "data row 1, column 'rating': '9' is not a number from 1 to 5"),
        ("", "not a readable CSV"),
    ],
)
def test_a_bad_csv_gets_one_line_that_says_where(content: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, "utf-8")
    finished = ml("evaluate", "--csv", str(path))
    assert finished.returncode == 1
    assert complaint in finished.stderr
    assert "Traceback" not in finished.stderr


def test_wrong_usage_and_a_missing_model_have_their_own_exit_codes(tmp_path: Path) -> None:
    assert ml("predict").returncode == 2
    missing = ml("predict", "--model", str(tmp_path / "nothing"), "--text", "x")
    assert missing.returncode == 1
    assert "is not a model version" in missing.stderr


def test_an_impossible_choice_is_wrong_usage_and_named(csv: Path, tmp_path: Path) -> None:
    finished = ml("train", "--csv", str(csv), "--output", str(tmp_path / "version"), "--max-length", "7")
    assert finished.returncode == 2
    assert "max_length: must be from 8 to 512" in " ".join(finished.stderr.split())
    assert not (tmp_path / "version").exists()


@pytest.mark.slow
def test_two_processes_train_one_model_together_and_one_writes_it(csv: Path, tmp_path: Path) -> None:
    """Under torchrun on the CPU (gloo), and close to what one process learns from the same batches."""
    options = ["--backbone", "tiny", "--epochs", "1", "--batch-size", "16", "--checkpoint-every", "2", "--threads", "1"]
    made = {}
    for name, program in (("two", ["torch.distributed.run", "--nproc-per-node=2", "-m", "ml"]), ("one", ["ml"])):
        folder = tmp_path / name
        where = ["--csv", str(csv), "--output", str(folder), "--checkpoints", str(tmp_path / f"kept-{name}")]
        command = [sys.executable, "-m", *program, "train", *where, *options, "--json"]
        kept = {variable: value for variable, value in os.environ.items() if variable in {"PATH", "LANG", "TMPDIR"}}
        finished = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=300, check=False)
        assert finished.returncode == 0, finished.stderr
        made[name] = json.loads(finished.stdout)
        assert artifact.verify(folder).version == made[name]["model_version"]
    both = [load_file(tmp_path / name / "model.safetensors")["rating_head.weight"] for name in ("two", "one")]
    apart = (both[0] - both[1]).norm() / both[1].norm()
    assert 0 < apart < 0.1  # dropout differs; the batches do not
