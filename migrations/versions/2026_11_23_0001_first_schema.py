"""Reviews, predictions, jobs and their history, models, workers, users, sign-ins, tokens.

The first schema: it creates tables in an empty database and locks nothing that anybody uses.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_OBJECT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UTC_TIME = sa.DateTime(timezone=True)
TABLES = (
    "model_versions",
    "reviews",
    "users",
    "workers",
    "jobs",
    "logins",
    "review_revisions",
    "tokens",
    "idempotency_keys",
    "job_events",
    "job_reviews",
    "predictions",
)


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("backbone", sa.String(length=64), nullable=False),
        sa.Column("artifact", sa.String(length=400), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("evaluation", JSON_OBJECT),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("activated_at", UTC_TIME),
        sa.CheckConstraint("state IN ('candidate','active','archived')", name="ck_model_versions_state_is_known"),
        sa.PrimaryKeyConstraint("version", name="pk_model_versions"),
    )
    op.create_index(
        "ux_model_versions_one_active",
        "model_versions",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )

    op.create_table(
        "reviews",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("external_id", sa.String(length=200)),
        sa.Column("product_id", sa.String(length=200)),
        sa.Column("department", sa.String(length=200)),
        sa.Column("class_name", sa.String(length=200)),
        sa.Column("title", sa.Text()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("rating", sa.SmallInteger()),
        sa.Column("age", sa.Double()),
        sa.Column("reviewed_at", UTC_TIME),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("prediction_id", IDENTITY),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("updated_at", UTC_TIME, nullable=False),
        sa.CheckConstraint("age IS NULL OR age > 0", name="ck_reviews_age_in_range"),
        sa.CheckConstraint("rating IS NULL OR rating BETWEEN 1 AND 5", name="ck_reviews_rating_in_range"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("external_id", name="uq_reviews_external_id"),
    )
    op.create_index("ix_reviews_product_id_id", "reviews", ["product_id", "id"])

    op.create_table(
        "users",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("disabled_at", UTC_TIME),
        sa.CheckConstraint("role IN ('viewer','analyst','operator','admin')", name="ck_users_role_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", JSON_OBJECT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("device", sa.String(length=64)),
        sa.Column("dtype", sa.String(length=16)),
        sa.Column("engine", sa.String(length=32)),
        sa.Column("threads", sa.Integer()),
        sa.Column("model_version", sa.String(length=64)),
        sa.Column("error", sa.Text()),
        sa.Column("reviews_done", sa.BigInteger(), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=False),
        sa.Column("heartbeat_at", UTC_TIME, nullable=False),
        sa.CheckConstraint("state IN ('starting','ready','busy','failed','stopped')", name="ck_workers_state_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_index("ix_workers_heartbeat_at", "workers", ["heartbeat_at"])

    op.create_table(
        "jobs",
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
        sa.CheckConstraint(
            "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)",
            name="ck_jobs_final_is_finished",
        ),
        sa.CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="ck_jobs_failed_says_why"),
        sa.CheckConstraint(
            "state <> 'running' OR lease_expires_at IS NOT NULL OR kind IN ('import','rescore')",
            name="ck_jobs_running_leaf_is_leased",
        ),
        sa.CheckConstraint("state = 'running' OR lease_expires_at IS NULL", name="ck_jobs_only_running_is_leased"),
        sa.CheckConstraint(
            "state IN ('queued','running','succeeded','failed','cancelled')", name="ck_jobs_state_is_known"
        ),
        sa.CheckConstraint("done BETWEEN 0 AND total", name="ck_jobs_progress_in_range"),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name="fk_jobs_parent_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_jobs_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_leases",
        "jobs",
        ["lease_expires_at"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_jobs_parent_id", "jobs", ["parent_id"])
    op.create_index("ix_jobs_queue_state_id", "jobs", ["queue", "state", "id"])
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])

    op.create_table(
        "logins",
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", IDENTITY, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_logins_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("secret_sha256", name="pk_logins"),
    )
    op.create_index("ix_logins_user_id", "logins", ["user_id"])

    op.create_table(
        "review_revisions",
        sa.Column("review_id", IDENTITY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("replaced_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["review_id"], ["reviews.id"], name="fk_review_revisions_review_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("review_id", "revision", name="pk_review_revisions"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("user_id", IDENTITY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON_OBJECT, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("expires_at", UTC_TIME),
        sa.Column("revoked_at", UTC_TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("secret_sha256", name="uq_tokens_secret_sha256"),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])

    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_idempotency_keys_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])

    op.create_table(
        "job_events",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("data", JSON_OBJECT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
    )
    op.create_index("ix_job_events_job_id_id", "job_events", ["job_id", "id"])

    op.create_table(
        "job_reviews",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("review_id", IDENTITY, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_reviews_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_job_reviews_review_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_job_reviews"),
    )
    op.create_index("ix_job_reviews_review_id", "job_reviews", ["review_id"])

    op.create_table(
        "predictions",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("review_id", IDENTITY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32)),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("p1", sa.Double(), nullable=False),
        sa.Column("p2", sa.Double(), nullable=False),
        sa.Column("p3", sa.Double(), nullable=False),
        sa.Column("p4", sa.Double(), nullable=False),
        sa.Column("p5", sa.Double(), nullable=False),
        sa.Column("expected_stars", sa.Double(), nullable=False),
        sa.Column("age", sa.Double(), nullable=False),
        sa.Column("age_low", sa.Double(), nullable=False),
        sa.Column("age_high", sa.Double(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_predictions_job_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"], name="fk_predictions_model_version"),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_predictions_review_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.UniqueConstraint("job_id", "review_id", name="uq_predictions_job_id_review_id"),
    )
    op.create_index("ix_predictions_review_id", "predictions", ["review_id"])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
