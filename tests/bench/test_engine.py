import json
import subprocess
import sys

import pytest

PROMISED = {
    "single_reviews_per_s",
    "pipeline_reviews_per_s",
    "engine_reviews_per_s",
    "ratio_single",
    "ratio_pipeline",
    "share_of_gemm_peak",
    "label_flips",
    "isa",
}


@pytest.mark.slow
def test_the_comparison_runs_on_the_samples_and_prints_every_promised_figure() -> None:
    command = [sys.executable, "-m", "bench", "engine", "--reviews", "40", "--backbone", "tiny", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    report = json.loads(finished.stdout)
    assert set(report) >= PROMISED
    assert report["n_reviews"] == 40
    assert report["rounds"] >= 5
    assert 0 < report["share_of_gemm_peak"] < 1
    assert report["ratio_single"] > 0
    assert 0 <= report["label_flips"] <= 1


def test_an_engine_that_does_not_exist_is_wrong_usage() -> None:
    command = [sys.executable, "-m", "bench", "engine", "--engine", "abacus"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 2
