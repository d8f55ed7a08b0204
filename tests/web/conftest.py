"""The site over a real database and a real Redis, with an administrator and the workers' own transitions."""

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from apiflask import APIFlask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from store import accounts, claims, models, workers
from store.accounts import Role
from store.database import Database
from store.explanations import HeadAmounts, NewExplanation, WordWeight
from store.jobs import JobKind, QueueName
from store.models import NewModelVersion
from store.reviews import NewPrediction
from store.settings import Settings
from store.workers import WorkerReport
from web.app import create_app

EMAIL, PASSWORD, TOKEN = "admin@example.com", "correct horse battery", "0123456789abcdef" * 3
SAID = NewPrediction(5, (0.02, 0.03, 0.05, 0.2, 0.7), 4.53, 41.4, 24.0, 62.0, truncated=False)
WHY = NewExplanation(
    words=(
        WordWeight("title", 0, 4, stars=1.25, years=-2.5),
        WordWeight("text", 0, 4, stars=0.5, years=0.0),
        WordWeight("text", 4, 5, stars=-0.001, years=0.01),
        WordWeight("text", 6, 11, stars=-0.75, years=6.0),
    ),
    baseline=HeadAmounts(stars=3.5, years=38.0),
    unexplained=HeadAmounts(stars=0.031, years=-0.11),
)
EVALUATION = {
    "n": 2_222,
    "rating": {"accuracy": 0.704},
    "intervals": {"rating": {"accuracy": [0.685, 0.723]}},
    "age": {"mae": 9.16},
    "baselines": {"majority": {"rating": {"accuracy": 0.549}}},
}


@pytest.fixture
def site_settings(settings: Settings, redis_url: str) -> Settings:
    counters = redis.Redis.from_url(redis_url)
    for key in counters.scan_iter("*hemline*"):
        counters.delete(key)
    secret = {"secret_key": SecretStr("a key for tests only"), "redis_url": redis_url, "web_threads": 4}
    return settings.model_copy(update=secret)


@pytest.fixture
def app(site_settings: Settings, database: Database) -> Iterator[APIFlask]:
    with database.begin() as db:
        accounts.provision_admin(db, email=EMAIL, password=PASSWORD, token=TOKEN)
    made = create_app(site_settings)
    yield made
    made.extensions["hemline"].database.dispose()
    made.extensions["hemline"].doorbell.close()


@pytest.fixture
def stranger(app: APIFlask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def api(app: APIFlask) -> FlaskClient:
    """A program with a token of all scopes."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client


@dataclass(frozen=True)
class Browser:
    """A person's browser without JavaScript."""

    client: FlaskClient

    def csrf(self, page: str = "/login") -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.client.get(page).text)
        assert found, f"{page} has no form"
        return found.group(1)

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD, **more: str) -> TestResponse:
        form = {"email": email, "password": password, "csrf_token": self.csrf(), **more}
        return self.client.post("/login", data=form)

    def post(self, path: str, *, headers: dict[str, str] | None = None, **form: str) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.csrf("/jobs"), **form}, headers=headers)

    def get(self, path: str, *, headers: dict[str, str] | None = None) -> TestResponse:
        return self.client.get(path, headers=headers)


@pytest.fixture
def browser(app: APIFlask) -> Browser:
    made = Browser(app.test_client())
    assert made.sign_in().status_code == 303
    return made


@pytest.fixture
def viewer(app: APIFlask, database: Database) -> Browser:
    with database.begin() as db:
        accounts.create_user(db, email="viewer@example.com", password=PASSWORD, role=Role.VIEWER)
    made = Browser(app.test_client())
    assert made.sign_in("viewer@example.com").status_code == 303
    return made


@dataclass(frozen=True)
class Staff:
    """A worker's part, made of the transitions that the worker itself calls."""

    database: Database
    worker_id: str = field(default_factory=lambda: secrets.token_hex(4))

    def enrol(self) -> None:
        with self.database.begin() as db:
            version = NewModelVersion("starter-1", "minilm-l6", "models/starter-1", "ab" * 32, EVALUATION)
            models.ensure_active(db, version)
            workers.enrol(db, worker_id=self.worker_id, hostname="atelier", pid=4242, queues=["interactive", "bulk"])
            workers.report(db, self.worker_id, WorkerReport(state="ready", device="cpu", model_version="starter-1"))

    def claim(self, queue: QueueName = QueueName.INTERACTIVE) -> list[claims.Claim]:
        with self.database.begin() as db:
            return claims.claim(db, queue=queue, max_reviews=2_000, worker_id=self.worker_id, lease_s=15)

    def read_the_next(self) -> None:
        """Wait for a job, and read it."""
        while not (claimed := self.claim()):
            time.sleep(0.02)
        self._succeed(claimed)

    def read_everything(self) -> None:
        for queue in QueueName:
            while claimed := self.claim(queue):
                self._succeed(claimed)

    def _succeed(self, claimed: list[claims.Claim]) -> None:
        if claimed[0].kind is JobKind.EXPLAIN:
            with self.database.begin() as db:
                claims.succeed_explained(db, claimed[0], SAID, WHY, model_version="starter-1")
            return
        said = [[SAID] * len(claim.reviews) for claim in claimed]
        with self.database.begin() as db:
            claims.succeed(db, claimed, said, model_version="starter-1")


@pytest.fixture
def staff(database: Database) -> Staff:
    made = Staff(database)
    made.enrol()
    return made
