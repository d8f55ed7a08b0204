"""What the API gives: frozen Pydantic models filled from the store's dataclasses."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from store.jobs import JobKind, JobState, QueueName


class Out(BaseModel):
    """Base of what goes out, filled from the store's dataclasses."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class PredictionOut(Out):
    """What the model says of one review."""

    rating: int
    rating_probabilities: Annotated[tuple[float, ...], Field(description="For 1 to 5 stars; sums to 1.")]
    expected_stars: float
    age: float
    age_low: Annotated[float, Field(description="Lower end of the 90 % interval, years.")]
    age_high: Annotated[float, Field(description="Upper end of the 90 % interval, years.")]
    model_version: str
    truncated: Annotated[bool, Field(description="The text was longer than what the model reads.")]


class AmountsOut(Out):
    """One number for each head."""

    stars: float
    years: float


class WordWeightOut(AmountsOut):
    """How much one word moved each head: characters `start` to `end` of `title` or `text`."""

    part: Literal["title", "text"]
    start: int
    end: int


class ExplanationOut(Out):
    """Why the model says what it says: baseline, all words and what is unexplained add up to the prediction."""

    words: tuple[WordWeightOut, ...]
    baseline: Annotated[AmountsOut, Field(description="What the model says while every word is left out.")]
    unexplained: Annotated[AmountsOut, Field(description="What the words' weights miss.")]
    model_version: str


class ReviewOut(Out):
    """A stored review with its newest prediction, or null before it is read."""

    id: int
    external_id: str | None
    product_id: str | None
    department: str | None
    class_name: str | None
    title: str | None
    text: str
    rating: int | None
    age: float | None
    reviewed_at: datetime | None
    created_at: datetime
    prediction: PredictionOut | None


class ExplainedReviewOut(ReviewOut):
    """A review; with `explain=1` also which words moved its newest prediction."""

    explanation: Annotated[ExplanationOut | None, Field(description="With `explain=1` only.")] = None


class JobErrorOut(Out):
    """Why a job failed, and what to do about it."""

    kind: Literal["input", "transient", "defect"]
    message: str
    hint: str | None


class JobOut(Out):
    """A job as it stands."""

    id: str
    kind: JobKind
    state: JobState
    queue: QueueName
    queue_position: Annotated[
        int | None, Field(description="Jobs of its queue before this one; null unless queued, and in lists.")
    ] = None
    params: dict[str, Any]
    done: int
    total: int
    phase: Annotated[str | None, Field(description="What a long job is doing now.")] = None
    eta_s: Annotated[float | None, Field(description="Seconds to the end at the pace so far.")] = None
    attempts: int
    result: Annotated[dict[str, Any] | None, Field(description="What the job made, by id.")] = None
    error: JobErrorOut | None
    created_by: str
    worker_id: str | None
    parent_id: str | None
    cancel_requested: bool
    stop_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]


class JobEventOut(Out):
    """One line of a job's history."""

    id: int
    at: datetime
    name: str
    data: dict[str, Any]


class WorkerOut(Out):
    """A worker as it last described itself."""

    id: str
    hostname: str
    pid: int
    queues: tuple[str, ...]
    state: Literal["starting", "ready", "busy", "failed", "stopped"]
    is_alive: bool
    device: str | None
    dtype: str | None
    engine: str | None
    threads: int | None
    model_version: str | None
    error: str | None
    reviews_done: int
    started_at: datetime
    heartbeat_at: datetime


class QueueOut(Out):
    """What waits in one queue, and how many living workers serve it."""

    name: QueueName
    depth: int
    oldest_wait_s: float | None
    workers: int


class ModelChangeOut(Out):
    """A promotion or a rollback."""

    id: int
    at: datetime
    action: Literal["promote", "rollback"]
    version: str
    previous: str | None
    made_by: str
    reason: str | None
    override_reason: Annotated[str | None, Field(description="Why it serves although the honesty gate refused it.")]


class ModelOut(Out):
    """A registered model version with its evaluation record."""

    version: str
    state: Literal["candidate", "active", "archived"]
    backbone: str
    manifest_sha256: str
    evaluation: dict[str, Any] | None
    lineage: Annotated[dict[str, Any] | None, Field(description="What it was made of.")]
    job_id: Annotated[str | None, Field(description="The training that made it.")]
    dataset_id: int | None
    created_by: str | None
    created_at: datetime
    activated_at: datetime | None


class DatasetSummaryOut(Out):
    """One version of a data set."""

    id: int
    name: str
    version: int
    state: Annotated[
        Literal["importing", "ready", "failed"], Field(description="Of a failed one its job says what to do.")
    ]
    source: Literal["upload", "corrections"]
    n_rows: int
    n_rejected: int
    sha256: Annotated[str | None, Field(description="Of its Parquet file; null until it is ready.")]
    job: Annotated[str | None, Field(description="The job that imports it, by id.")]
    created_by: str
    created_at: datetime
    links: dict[str, str]


class DatasetOut(DatasetSummaryOut):
    """One version of a data set with what its rows look like."""

    report: Annotated[
        dict[str, Any] | None,
        Field(description="Counts, distributions, the first rows and the first rejects; null until it is ready."),
    ]
    error: Annotated[JobErrorOut | None, Field(description="Why its import failed.")]


class DatasetList(Out):
    """One page of the versions of data sets, newest first."""

    items: tuple[DatasetSummaryOut, ...]
    next: str | None


class ModelDetailOut(ModelOut):
    """A model version with all that is known of it."""

    objection: Annotated[
        str | None, Field(description="Why the honesty gate refuses it; null when it beats TF-IDF on rating.")
    ]
    changes: Annotated[
        tuple[ModelChangeOut, ...], Field(description="By which it entered or left service, newest first.")
    ]


class ReviewList(Out):
    """One page of reviews."""

    items: tuple[ReviewOut, ...]
    next: str | None


class JobList(Out):
    """One page of jobs."""

    items: tuple[JobOut, ...]
    next: str | None


class JobEventList(Out):
    """One page of the history of a job, oldest first."""

    items: tuple[JobEventOut, ...]
    next: str | None = None


class JobReviewList(Out):
    """One page of the reviews of a job, in the order of its request."""

    items: tuple[ReviewOut, ...]
    next: str | None = None


class WorkerList(Out):
    """The living workers."""

    items: tuple[WorkerOut, ...]
    next: str | None = None


class QueueList(Out):
    """The queues in the order in which workers serve them."""

    items: tuple[QueueOut, ...]
    next: str | None = None


class ModelList(Out):
    """The registered model versions, newest first."""

    items: tuple[ModelOut, ...]
    next: str | None = None


class Submission(Out):
    """A finished `Prefer: wait`: the job and its reviews with their predictions."""

    job: JobOut
    reviews: tuple[ReviewOut, ...]


class ProblemFieldOut(Out):
    """One wrong field, named as the client wrote it."""

    field: str
    message: str


class ProblemOut(Out):
    """An error answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemFieldOut, ...] | None = None
