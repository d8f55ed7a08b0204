"""The tables. Rows stay inside `store`; what leaves it is a frozen dataclass."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

JOB_ID_LENGTH = 32


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always aware and in UTC, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite keeps no zone, so it gets none."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Identity = BigInteger().with_variant(Integer, "sqlite")  # SQLite autoincrements INTEGER keys only


class Base(DeclarativeBase):
    """All tables, with constraint names that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: Json, list[str]: Json, list[dict[str, str]]: Json}  # noqa: RUF012


class Review(Base):
    """One review as it reads now; `revision` rises when its text is replaced."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("rating IS NULL OR rating BETWEEN 1 AND 5", name="rating_in_range"),
        CheckConstraint("age IS NULL OR age > 0", name="age_in_range"),
        Index(None, "product_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(200), unique=True)
    product_id: Mapped[str | None] = mapped_column(String(200))
    department: Mapped[str | None] = mapped_column(String(200))
    class_name: Mapped[str | None] = mapped_column(String(200))
    title: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    age: Mapped[float | None]
    reviewed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1)
    prediction_id: Mapped[int | None] = mapped_column(Identity)  # the newest; no constraint, it would be a circle
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ReviewRevision(Base):
    """What a review said before its text was replaced."""

    __tablename__ = "review_revisions"

    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    replaced_at: Mapped[datetime]


class Prediction(Base):
    """What one job's model said of one revision of a review. A job says it once."""

    __tablename__ = "predictions"
    __table_args__ = (UniqueConstraint("job_id", "review_id"), Index(None, "review_id"))

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))
    revision: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    rating: Mapped[int] = mapped_column(SmallInteger)
    p1: Mapped[float]
    p2: Mapped[float]
    p3: Mapped[float]
    p4: Mapped[float]
    p5: Mapped[float]
    expected_stars: Mapped[float]
    age: Mapped[float]
    age_low: Mapped[float]
    age_high: Mapped[float]
    truncated: Mapped[bool]
    created_at: Mapped[datetime]


class Job(Base):
    """One requested piece of work; the row is the truth and the message only a doorbell."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('queued','running','succeeded','failed','cancelled')", name="state_is_known"),
        CheckConstraint(
            "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)", name="final_is_finished"
        ),
        CheckConstraint("state = 'running' OR lease_expires_at IS NULL", name="only_running_is_leased"),
        CheckConstraint(
            "state <> 'running' OR lease_expires_at IS NOT NULL OR is_parent", name="running_leaf_is_leased"
        ),
        CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="failed_says_why"),
        CheckConstraint("done BETWEEN 0 AND total", name="progress_in_range"),
        Index(None, "queue", "state", "id"),
        Index(None, "state", "id"),
        Index(None, "parent_id"),
        Index(
            "ix_jobs_leases",
            "lease_expires_at",
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(JOB_ID_LENGTH), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    queue: Mapped[str] = mapped_column(String(16))
    params: Mapped[dict[str, Any]]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    claimed_with: Mapped[int] = mapped_column(default=0)
    run_alone: Mapped[bool] = mapped_column(default=False)
    lapses_alone: Mapped[list[dict[str, str]]] = mapped_column(default=list)  # see store.claims.sweep
    lease_expires_at: Mapped[datetime | None]
    worker_id: Mapped[str | None] = mapped_column(String(64))
    run_after: Mapped[datetime | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    is_parent: Mapped[bool] = mapped_column(default=False, server_default=false())
    phase: Mapped[str | None] = mapped_column(String(100))
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_by: Mapped[str] = mapped_column(String(320))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    cancel_requested_at: Mapped[datetime | None]
    stop_requested_at: Mapped[datetime | None]  # stop and keep: end with what there is so far
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobReview(Base):
    """A review that a job reads, at its place in the request."""

    __tablename__ = "job_reviews"
    __table_args__ = (Index(None, "review_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))


class JobEvent(Base):
    """Append-only history of a job."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]


class JobLog(Base):
    """What a job's process printed, piece by piece."""

    __tablename__ = "job_logs"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Dataset(Base):
    """One version of a named set of labelled reviews: an immutable Parquet file, named by its SHA-256."""

    __tablename__ = "datasets"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint("state IN ('importing','ready','failed')", name="state_is_known"),
        CheckConstraint("source IN ('upload','corrections')", name="source_is_known"),
        CheckConstraint("(state = 'ready') = (sha256 IS NOT NULL)", name="ready_is_stored"),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(16))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"))  # whose rows were corrected
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    n_rows: Mapped[int] = mapped_column(default=0)
    n_rejected: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str | None] = mapped_column(String(64))
    artifact: Mapped[str | None] = mapped_column(String(400))
    rejects_artifact: Mapped[str | None] = mapped_column(String(400))
    report: Mapped[dict[str, Any] | None]
    created_by: Mapped[str] = mapped_column(String(320))
    created_at: Mapped[datetime]


class ReviewLabel(Base):
    """What a person says a review's stars and writer's age are, whatever the shopper or the model said."""

    __tablename__ = "review_labels"
    __table_args__ = (
        CheckConstraint("rating IS NULL OR rating BETWEEN 1 AND 5", name="rating_in_range"),
        CheckConstraint("age IS NULL OR age > 0", name="age_in_range"),
    )

    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True)
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    age: Mapped[float | None]
    labelled_by: Mapped[str] = mapped_column(String(320))
    labelled_at: Mapped[datetime]


class TrainingStep(Base):
    """One optimizer step of a training job; `total` is the sum of the two weighted parts."""

    __tablename__ = "training_steps"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    rating_loss: Mapped[float]
    age_loss: Mapped[float]
    rating_part: Mapped[float]
    age_part: Mapped[float]
    total: Mapped[float]
    learning_rate: Mapped[float]
    examples_per_s: Mapped[float]
    at: Mapped[datetime]


class TrainingEvaluation(Base):
    """The metrics of a training job's model on its validation rows after one of its steps."""

    __tablename__ = "training_evaluations"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    is_best: Mapped[bool] = mapped_column(default=False)
    at: Mapped[datetime]


class ModelVersion(Base):
    """A folder of model files that the registry knows; at most one is active."""

    __tablename__ = "model_versions"
    __table_args__ = (
        CheckConstraint("state IN ('candidate','active','archived')", name="state_is_known"),
        Index(
            "ux_model_versions_one_active",
            "state",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    backbone: Mapped[str] = mapped_column(String(64))
    artifact: Mapped[str] = mapped_column(String(400))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    evaluation: Mapped[dict[str, Any] | None]
    lineage: Mapped[dict[str, Any] | None]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"))
    created_by: Mapped[str | None] = mapped_column(String(320))
    created_at: Mapped[datetime]
    activated_at: Mapped[datetime | None]


class ModelChange(Base):
    """One promotion or rollback: which version took over from which, who said so and why. Append-only."""

    __tablename__ = "model_changes"
    __table_args__ = (CheckConstraint("action IN ('promote','rollback')", name="action_is_known"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str | None] = mapped_column(String(64))
    made_by: Mapped[str] = mapped_column(String(320))
    reason: Mapped[str | None] = mapped_column(Text)
    override_reason: Mapped[str | None] = mapped_column(Text)


class ModelEvaluation(Base):
    """A model judged on a dataset's test rows by an `evaluate` job, alone or paired with another version."""

    __tablename__ = "model_evaluations"
    __table_args__ = (Index(None, "version"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.version", ondelete="CASCADE"))
    against: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version", ondelete="CASCADE"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    record: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Explanation(Base):
    """How much each word of a review moved each head of one prediction."""

    __tablename__ = "explanations"

    prediction_id: Mapped[int] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True)
    weights: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class AuditEntry(Base):
    """Who changed what, when, from where. Append-only."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "at"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(320))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    data: Mapped[dict[str, Any]]


class Worker(Base):
    """A process that reads, as it last described itself."""

    __tablename__ = "workers"
    __table_args__ = (
        CheckConstraint("state IN ('starting','ready','busy','failed','stopped')", name="state_is_known"),
        Index(None, "heartbeat_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    hostname: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    queues: Mapped[list[str]]
    state: Mapped[str] = mapped_column(String(16))
    device: Mapped[str | None] = mapped_column(String(64))
    dtype: Mapped[str | None] = mapped_column(String(16))
    engine: Mapped[str | None] = mapped_column(String(32))
    threads: Mapped[int | None]
    model_version: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    reviews_done: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]


class User(Base):
    """A person who may sign in."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('viewer','analyst','operator','admin')", name="role_is_known"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class Login(Base):
    """A browser that is signed in; deleting the row signs it out."""

    __tablename__ = "logins"
    __table_args__ = (Index(None, "user_id"),)

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Token(Base):
    """An API token; only its hash is kept."""

    __tablename__ = "tokens"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """A request that was accepted, so that its repeat answers the same job."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
