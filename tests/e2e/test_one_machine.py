"""The main job, end to end, with the real processes and the real starter model."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Installation, until

GLOWING = {
    "title": "My favorite dress ever",
    "text": "I absolutely love this dress! It fits perfectly, the fabric is gorgeous and I get compliments all day.",
}
SCATHING = {
    "title": "Terrible quality",
    "text": "Awful. The seams ripped on the first wear, it is cheap and itchy and unflattering. Returned it at once.",
}

pytestmark = pytest.mark.timeout(300)


def test_a_glowing_and_a_scathing_review_are_told_apart(installation: Installation) -> None:
    answer = installation.post("/api/v1/reviews", {"reviews": [GLOWING, SCATHING]}, Prefer="wait=30")
    assert answer.status == 200, answer.body
    glowing, scathing = (review["prediction"] for review in answer.body["reviews"])
    assert glowing["rating"] >= 4
    assert scathing["rating"] <= 2
    for said in (glowing, scathing):
        assert sum(said["rating_probabilities"]) == pytest.approx(1, abs=1e-3)
        assert said["age_low"] < said["age"] < said["age_high"]


def test_without_waiting_a_review_is_accepted_and_its_job_succeeds(installation: Installation) -> None:
    answer = installation.post("/api/v1/reviews", GLOWING)
    assert answer.status == 202
    job = installation.wait_for_job(answer.headers["Location"])
    assert (job["state"], job["done"], job["total"]) == ("succeeded", 1, 1)


def test_a_review_that_came_while_redis_was_away_is_read_later(installation: Installation) -> None:
    installation.child("redis-server").kill()
    answer = installation.post("/api/v1/reviews", SCATHING)
    assert answer.status == 202
    assert installation.get("/readyz").status == 200
    assert installation.wait_for_job(answer.headers["Location"])["state"] == "succeeded"
    until(installation.is_ready, within_s=60)


def test_a_worker_killed_in_the_middle_reads_each_review_once(installation: Installation) -> None:
    texts = [{"text": f"{GLOWING['text']} Bought number {number}. " * 8} for number in range(120)]
    answer = installation.post("/api/v1/reviews", {"reviews": texts})
    location = answer.headers["Location"]
    until(lambda: installation.get(location).body["state"] == "running", within_s=30)
    _kill_the_worker(installation)
    job = installation.wait_for_job(location, within_s=180)
    assert (job["state"], job["done"]) == ("succeeded", 120)
    assert job["attempts"] == 2
    with closing(sqlite3.connect(installation.home / "hemline.db")) as database:
        counted = "SELECT count(*), count(DISTINCT review_id) FROM predictions WHERE job_id = ?"
        assert database.execute(counted, [job["id"]]).fetchone() == (120, 120)


def test_a_damaged_model_is_named_and_serves_again_once_it_is_repaired(installation: Installation) -> None:
    weights = next(installation.home.glob("artifacts/models/*/model.safetensors"))
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    _kill_the_worker(installation)
    until(lambda: "failed" in _worker_states(installation), within_s=60)
    errors = [worker["error"] for worker in installation.get("/api/v1/workers").body["items"] if worker["error"]]
    assert str(weights) in errors[0]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in errors[0]
    location = installation.post("/api/v1/reviews", GLOWING).headers["Location"]
    assert installation.get("/readyz").status == 200
    until(lambda: installation.get("/readyz?all=1").status == 503, within_s=30)  # the killed one is missed after 12 s
    assert installation.get(location).body["state"] == "queued"
    environment = {"HEMLINE_HOME": str(installation.home), "PATH": "/usr/bin:/bin"}
    repair = [sys.executable, "-m", "hemline", "models", "install-starter"]
    subprocess.run(repair, env=environment, check=True, timeout=90, stdout=subprocess.DEVNULL)
    assert installation.wait_for_job(location)["state"] == "succeeded"
    until(installation.is_ready, within_s=60)


def _worker_states(installation: Installation) -> set[str]:
    return {worker["state"] for worker in installation.get("/api/v1/workers").body["items"]}


def _kill_the_worker(installation: Installation) -> None:
    worker = installation.child("worker")
    for process in [*worker.children(recursive=True), worker]:
        process.kill()


def test_the_command_line_reads_a_review_of_the_running_installation(installation: Installation) -> None:
    environment = {"HEMLINE_HOME": str(installation.home), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "hemline", "predict", "--text", SCATHING["text"], "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    assert '"rating"' in ended.stdout


def test_it_stops_on_an_interrupt_and_starts_again_with_what_it_had(own: Installation) -> None:
    own.start()
    first = own.post("/api/v1/reviews", GLOWING, Prefer="wait=30").body["reviews"][0]
    assert own.stop(signal.SIGINT) == (0, [])
    _remove_a_model_file(own.home)
    own.start()
    print(f"\nsecond start with a missing model file, ready after {own.ready_after_s:.1f} s")  # noqa: T201
    assert own.get(f"/api/v1/reviews/{first['id']}").body["prediction"] == first["prediction"]
    assert own.stop(signal.SIGTERM) == (0, [])
    own.start()
    print(f"third start, ready after {own.ready_after_s:.1f} s")  # noqa: T201
    _kill_the_supervisor(own)


def test_a_termination_that_make_passes_on_as_well_still_drains(own: Installation) -> None:
    own.start()
    texts = [{"text": f"{GLOWING['text']} Bought number {number}. " * 40} for number in range(200)]
    answer = own.post("/api/v1/reviews", {"reviews": texts})
    until(lambda: own.get(answer.headers["Location"]).body["state"] == "running", within_s=30)
    own.process.send_signal(signal.SIGTERM)
    assert own.stop(signal.SIGTERM) == (0, [])
    with closing(sqlite3.connect(own.home / "hemline.db")) as database:
        last = "SELECT name FROM job_events ORDER BY id DESC LIMIT 1"
        assert database.execute(last).fetchone() == ("released",)  # and not torn from a killed worker


def test_without_a_model_its_first_administrator_still_gets_in(own: Installation, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    own.variables |= {"ADMIN_TOKEN": "", "ARTIFACTS_URL": str(nowhere / "artifacts")}
    own.launch()
    until(lambda: "password  " in own.log(), within_s=60, reason=own.log)
    assert own.get("/readyz").status == 200
    until(lambda: "no starter model" in own.log(), within_s=60, reason=own.log)
    assert "is ready after" not in own.log()
    assert own.log().count("admin@localhost") == 1
    assert own.stop() == (0, [])


def _remove_a_model_file(home: Path) -> None:
    weights = sorted(home.glob("artifacts/models/*/*.safetensors"))
    assert weights
    weights[0].unlink()


def _kill_the_supervisor(own: Installation) -> None:
    family = own.family()
    own.process.kill()
    own.process.wait(5)
    assert psutil.wait_procs(family, timeout=30)[1] == []
