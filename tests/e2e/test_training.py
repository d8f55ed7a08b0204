"""From a file to a model in service and back, with the real processes; and a training that is killed twenty times."""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Installation, until
from tests.ml.conftest import made_up_reviews, write_csv

N_KILLS = 20
LONG = {"backbone": "tiny", "epochs": 40, "batch_size": 16}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def dataset(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A data set of 300 reviews; two rows more were refused."""
    file = write_csv(tmp_path_factory.mktemp("upload") / "reviews.csv", made_up_reviews(300))
    with file.open("a") as stream:
        stream.write('900,30,,"Nine stars",9,Tops,Knits\n901,-4,,"Not born yet",4,Tops,Knits\n')
    answer = installation.upload("/api/v1/datasets", file, name="made up")
    assert answer.status == 202, answer.body
    job = installation.wait_for_job(answer.headers["Location"])
    assert job["state"] == "succeeded", job
    made: int = job["result"]["dataset_id"]
    seen = installation.get(f"/api/v1/datasets/{made}").body
    assert (seen["n_rows"], seen["n_rejected"]) == (300, 2)
    return made


def train(installation: Installation, dataset: int, **params: Any) -> str:
    body = {"kind": "train", "params": {"dataset_id": dataset, **params}}
    answer = installation.post("/api/v1/jobs", body)
    assert answer.status == 202, answer.body
    location: str = answer.headers["Location"]
    return location


def reader_of_a_review(installation: Installation) -> str:
    answer = installation.post("/api/v1/reviews", {"text": f"A dress, at {time.monotonic()}."}, Prefer="wait=30")
    assert answer.status == 200, answer.body
    version: str = answer.body["reviews"][0]["prediction"]["model_version"]
    return version


def test_a_file_becomes_a_model_that_serves_and_is_taken_back(installation: Installation, dataset: int) -> None:
    before = reader_of_a_review(installation)
    job = installation.wait_for_job(train(installation, dataset, backbone="tiny", epochs=1), within_s=180)
    assert job["state"] == "succeeded", job
    version = job["result"]["model_version"]
    model = installation.get(f"/api/v1/models/{version}").body
    assert model["state"] == "candidate"
    assert set(model["evaluation"]["baselines"]) == {"majority", "tfidf"}
    assert model["dataset_id"] == dataset
    reason = {"override_reason": "whether the switch works is tested, not the model"}
    promoted = installation.post(f"/api/v1/models/{version}/promote", reason)
    assert promoted.status == 200, promoted.body
    until(lambda: reader_of_a_review(installation) == version, within_s=30)
    assert installation.post("/api/v1/models/rollback", {}).body["version"] == before
    until(lambda: reader_of_a_review(installation) == before, within_s=30)


def test_a_training_killed_twenty_times_ends_with_the_weights_of_one_that_was_not(
    installation: Installation, dataset: int
) -> None:
    undisturbed = installation.wait_for_job(train(installation, dataset, **LONG), within_s=300)
    location = train(installation, dataset, **LONG)
    killed = 0
    done = 0
    while killed < N_KILLS and (job := installation.get(location).body)["state"] in {"queued", "running"}:
        process = process_of(installation, job["id"])
        if process is None or job["done"] <= done:
            time.sleep(0.05)
            continue
        done = job["done"]
        process.kill()
        killed += 1
    disturbed = installation.wait_for_job(location, within_s=400)
    assert (disturbed["state"], killed) == ("succeeded", N_KILLS)
    assert disturbed["attempts"] == N_KILLS + 1
    assert weights(installation, disturbed) == weights(installation, undisturbed)


def process_of(installation: Installation, job_id: str) -> psutil.Process | None:
    for process in installation.family():
        try:
            if "worker.child" in process.cmdline() and job_id in process.cmdline():
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def weights(installation: Installation, job: dict[str, Any]) -> bytes:
    version = job["result"]["model_version"]
    return (Path(installation.home) / "artifacts" / "models" / version / "model.safetensors").read_bytes()
