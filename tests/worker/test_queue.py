"""The doorbell against a real Redis, and against none."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from store.jobs import QueueName
from store.settings import Settings
from worker.app import broker_url
from worker.errors import MissingBrokerError
from worker.queue import ENOUGH_BELLS, Doorbell

NOBODY_LISTENS_HERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    redis.Redis.from_url(redis_url).delete(*QueueName)
    return Settings(home=tmp_path, redis_url=redis_url)


def test_a_ring_leaves_one_bell_that_carries_the_job_id_alone(settings: Settings) -> None:
    doorbell = Doorbell(settings)
    assert doorbell.ping()
    assert doorbell.ring("job-1", QueueName.BULK)
    assert doorbell.bells(QueueName.BULK) == 1
    assert doorbell.bells(QueueName.INTERACTIVE) == 0
    doorbell.close()


def test_bells_that_nobody_answers_do_not_pile_up(settings: Settings) -> None:
    doorbell = Doorbell(settings)
    assert all(doorbell.ring(f"job-{n}", QueueName.BULK) for n in range(ENOUGH_BELLS + 20))
    assert doorbell.bells(QueueName.BULK) == ENOUGH_BELLS
    assert doorbell.ring("job-1", QueueName.INTERACTIVE)  # each queue has bells of its own
    assert doorbell.bells(QueueName.INTERACTIVE) == 1
    doorbell.close()


def test_without_redis_a_ring_is_refused_fast_and_the_next_ones_at_once(tmp_path: Path) -> None:
    doorbell = Doorbell(Settings(home=tmp_path, redis_url=NOBODY_LISTENS_HERE))
    assert not doorbell.ping()
    assert doorbell.bells(QueueName.BULK) is None
    assert not doorbell.ring("job-1", QueueName.BULK)
    before = time.monotonic()
    assert not any(doorbell.ring("job-1", QueueName.BULK) for _ in range(1000))
    assert time.monotonic() - before < 1  # a thousand refusals without a thousand connections
    doorbell.close()


def test_the_bell_rings_again_once_redis_is_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queue.SILENT_AFTER_FAILURE_S", 0.0)
    doorbell = Doorbell(settings)
    assert doorbell.ring("job-1", QueueName.BULK)
    redis.Redis.from_url(settings.redis_url or "").client_kill_filter(_type="normal", skipme=True)
    rung = [doorbell.ring("job-1", QueueName.BULK) for _ in range(3)]
    assert rung[-1]
    doorbell.close()


@pytest.mark.parametrize(
    ("given", "for_kombu"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("unix://:pw@/var/redis.sock?db=0", "redis+socket://:pw@/var/redis.sock?virtual_host=0"),
    ],
)
def test_a_redis_url_is_spelt_for_kombu(tmp_path: Path, given: str, for_kombu: str) -> None:
    assert broker_url(Settings(home=tmp_path, redis_url=given)) == for_kombu


def test_a_process_without_redis_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(MissingBrokerError, match="HEMLINE_REDIS_URL"):
        broker_url(Settings(home=tmp_path))


def test_ringing_loads_no_model_code() -> None:
    program = "import sys, worker.queue; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'ml')))"
    subprocess.run([sys.executable, "-c", program], check=True)
