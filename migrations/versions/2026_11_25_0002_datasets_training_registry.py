"""Datasets, training curves, job logs, lineage and changes of models, explanations, labels, the audit log.

New tables lock nothing. `jobs` and `model_versions` get columns and constraints: on SQLite they are copied (seconds for
100,000 jobs), on PostgreSQL they are locked while their rows are checked. The previous release runs on this schema:
what is new may be null or has a default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_OBJECT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UTC_TIME = sa.DateTime(timezone=True)
LEASED = "ck_jobs_running_leaf_is_leased"
LEASED_TWICE = "ck_jobs_ck_jobs_running_leaf_is_leased"  # the first schema put the prefix there twice
LEASED_BEFORE = "state <> 'running' OR lease_expires_at IS NOT NULL OR kind IN ('import','rescore')"
LEASED_NOW = "state <> 'running' OR lease_expires_at IS NOT NULL OR is_parent"
TABLES = (
    "audit_log",
    "explanations",
    "model_evaluations",
    "model_changes",
    "training_evaluations",
    "training_steps",
    "review_labels",
    "job_logs",
)


def upgrade() -> None:
    _change_jobs()
    _create_datasets()
    _create_what_jobs_leave()
    _create_what_people_say()
    _change_model_versions()
    _create_registry_history()


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name)
    with op.batch_alter_table("model_versions", copy_from=_model_versions(with_new=True)) as models:
        if op.get_bind().dialect.name == "postgresql":  # SQLite's copy never had them
            for name in ("fk_model_versions_job_id", "fk_model_versions_dataset_id"):
                models.drop_constraint(name, type_="foreignkey")
        for name in ("lineage", "job_id", "dataset_id", "created_by"):
            models.drop_column(name)
    op.drop_table("datasets")
    # A leaf import or rescore keeps its lease; a parent of another kind has no place in the old schema.
    op.execute(
        "UPDATE jobs SET state = 'failed', finished_at = created_at, "
        'error = \'{"kind": "defect", "message": "Its release is gone."}\' '
        "WHERE state = 'running' AND lease_expires_at IS NULL AND kind NOT IN ('import','rescore')"
    )
    with op.batch_alter_table("jobs", copy_from=_jobs(LEASED, LEASED_NOW, with_new=True)) as jobs:
        jobs.drop_constraint(op.f(LEASED), type_="check")
        jobs.create_check_constraint(op.f(LEASED_TWICE), LEASED_BEFORE)
        for name in ("is_parent", "phase", "result", "stop_requested_at"):
            jobs.drop_column(name)


def _new_job_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("is_parent", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("phase", sa.String(length=100)),
        sa.Column("result", JSON_OBJECT),
        sa.Column("stop_requested_at", UTC_TIME),
    ]


def _change_jobs() -> None:
    with op.batch_alter_table("jobs", copy_from=_jobs(LEASED_TWICE, LEASED_BEFORE, with_new=False)) as jobs:
        for column in _new_job_columns():
            jobs.add_column(column)
        jobs.drop_constraint(op.f(LEASED_TWICE), type_="check")
        jobs.create_check_constraint(op.f(LEASED), LEASED_NOW)


def _jobs(name: str, leased: str, *, with_new: bool) -> sa.Table:
    """The table as it stands, for SQLite's copy: what the database says of itself leaves the CHECKs out."""
    return sa.Table(
        "jobs",
        sa.MetaData(),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        sa.Column("params", JSON_OBJECT, nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("claimed_with", sa.Integer(), nullable=False),
        sa.Column("run_alone", sa.Boolean(), nullable=False),
        sa.Column("lapses_alone", JSON_OBJECT, nullable=False),
        sa.Column("lease_expires_at", UTC_TIME),
        sa.Column("worker_id", sa.String(length=64)),
        sa.Column("run_after", UTC_TIME),
        sa.Column("parent_id", sa.String(length=32)),
        sa.Column("error", JSON_OBJECT),
        sa.Column("created_by", sa.String(length=320), nullable=False),
        sa.Column("user_id", IDENTITY),
        sa.Column("cancel_requested_at", UTC_TIME),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("started_at", UTC_TIME),
        sa.Column("finished_at", UTC_TIME),
        *(_new_job_columns() if with_new else []),
        sa.CheckConstraint(
            "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)",
            name="ck_jobs_final_is_finished",
        ),
        sa.CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="ck_jobs_failed_says_why"),
        sa.CheckConstraint(leased, name=name),
        sa.CheckConstraint("state = 'running' OR lease_expires_at IS NULL", name="ck_jobs_only_running_is_leased"),
        sa.CheckConstraint(
            "state IN ('queued','running','succeeded','failed','cancelled')", name="ck_jobs_state_is_known"
        ),
        sa.CheckConstraint("done BETWEEN 0 AND total", name="ck_jobs_progress_in_range"),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name="fk_jobs_parent_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_jobs_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.Index(
            "ix_jobs_leases",
            "lease_expires_at",
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        ),
        sa.Index("ix_jobs_parent_id", "parent_id"),
        sa.Index("ix_jobs_queue_state_id", "queue", "state", "id"),
        sa.Index("ix_jobs_state_id", "state", "id"),
    )


def _create_datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("parent_id", IDENTITY),
        sa.Column("job_id", sa.String(length=32)),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("n_rejected", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("artifact", sa.String(length=400)),
        sa.Column("rejects_artifact", sa.String(length=400)),
        sa.Column("report", JSON_OBJECT),
        sa.Column("created_by", sa.String(length=320), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint("(state = 'ready') = (sha256 IS NOT NULL)", name="ready_is_stored"),
        sa.CheckConstraint("source IN ('upload','corrections')", name="source_is_known"),
        sa.CheckConstraint("state IN ('importing','ready','failed')", name="state_is_known"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_datasets_job_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["parent_id"], ["datasets.id"], name="fk_datasets_parent_id"),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", "version", name="uq_datasets_name_version"),
    )


def _create_what_jobs_leave() -> None:
    op.create_table(
        "job_logs",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_logs_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_job_logs"),
    )
    op.create_index("ix_job_logs_job_id_id", "job_logs", ["job_id", "id"])
    losses = ("rating_loss", "age_loss", "rating_part", "age_part", "total", "learning_rate", "examples_per_s")
    op.create_table(
        "training_steps",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in losses),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_training_steps_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_training_steps"),
    )
    op.create_table(
        "training_evaluations",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("metrics", JSON_OBJECT, nullable=False),
        sa.Column("is_best", sa.Boolean(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_training_evaluations_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_training_evaluations"),
    )
    op.create_table(
        "explanations",
        sa.Column("prediction_id", IDENTITY, nullable=False),
        sa.Column("weights", JSON_OBJECT, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="fk_explanations_prediction_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_explanations"),
    )


def _create_what_people_say() -> None:
    op.create_table(
        "review_labels",
        sa.Column("review_id", IDENTITY, nullable=False),
        sa.Column("rating", sa.SmallInteger()),
        sa.Column("age", sa.Double()),
        sa.Column("labelled_by", sa.String(length=320), nullable=False),
        sa.Column("labelled_at", UTC_TIME, nullable=False),
        sa.CheckConstraint("age IS NULL OR age > 0", name="age_in_range"),
        sa.CheckConstraint("rating IS NULL OR rating BETWEEN 1 AND 5", name="rating_in_range"),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_review_labels_review_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("review_id", name="pk_review_labels"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.String(length=320), nullable=False),
        sa.Column("user_id", IDENTITY),
        sa.Column("address", sa.String(length=64)),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("data", JSON_OBJECT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_audit_log_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])


def _new_model_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("lineage", JSON_OBJECT),
        sa.Column("job_id", sa.String(length=32)),
        sa.Column("dataset_id", IDENTITY),
        sa.Column("created_by", sa.String(length=320)),
    ]


def _change_model_versions() -> None:
    with op.batch_alter_table("model_versions", copy_from=_model_versions(with_new=False)) as models:
        for column in _new_model_columns():
            models.add_column(column)
        models.create_foreign_key("fk_model_versions_job_id", "jobs", ["job_id"], ["id"], ondelete="SET NULL")
        models.create_foreign_key("fk_model_versions_dataset_id", "datasets", ["dataset_id"], ["id"])


def _model_versions(*, with_new: bool) -> sa.Table:
    return sa.Table(
        "model_versions",
        sa.MetaData(),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("backbone", sa.String(length=64), nullable=False),
        sa.Column("artifact", sa.String(length=400), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("evaluation", JSON_OBJECT),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("activated_at", UTC_TIME),
        *(_new_model_columns() if with_new else []),
        sa.CheckConstraint("state IN ('candidate','active','archived')", name="ck_model_versions_state_is_known"),
        sa.PrimaryKeyConstraint("version", name="pk_model_versions"),
        sa.Index(
            "ux_model_versions_one_active",
            "state",
            unique=True,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        ),
    )


def _create_registry_history() -> None:
    op.create_table(
        "model_changes",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64)),
        sa.Column("made_by", sa.String(length=320), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("override_reason", sa.Text()),
        sa.CheckConstraint("action IN ('promote','rollback')", name="action_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_model_changes"),
    )
    op.create_table(
        "model_evaluations",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("against", sa.String(length=64)),
        sa.Column("dataset_id", IDENTITY),
        sa.Column("job_id", sa.String(length=32)),
        sa.Column("record", JSON_OBJECT, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["against"], ["model_versions.version"], name="fk_model_evaluations_against", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_model_evaluations_dataset_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_model_evaluations_job_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["version"], ["model_versions.version"], name="fk_model_evaluations_version", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_evaluations"),
    )
    op.create_index("ix_model_evaluations_version", "model_evaluations", ["version"])
