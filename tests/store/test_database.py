"""What the engines promise, on each kind of database."""

import logging
import traceback
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from store import jobs, reviews
from store.database import Database, open_database
from store.jobs import Actor
from store.outages import Outage, outage_of
from store.reviews import NewReview
from store.schema import Job
from store.settings import Settings

SECRET = "nobody else should read that this dress made me cry"


def test_review_text_stays_out_of_errors_and_logs(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    beyond_the_check = NewReview(text=SECRET, rating=9)
    with pytest.raises(DBAPIError) as caught, database.begin() as session:
        reviews.store_reviews(session, [beyond_the_check])
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in caplog.text


def test_a_reader_sees_one_snapshot(database: Database) -> None:
    with database.read() as reader:
        before = jobs.counts(reader)
        with database.begin() as writer:
            actor = Actor(user_id=None, token_id=1, name="ann")
            jobs.submit_reviews(writer, [NewReview(text="text")], actor=actor, queue_limit=9)
        assert jobs.counts(reader) == before
    with database.read() as reader:
        assert jobs.counts(reader) != before


def test_times_are_read_whatever_the_zone_of_the_server(database: Database) -> None:
    if not database.is_sqlite:
        with database.writer.begin() as connection:
            name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = 'America/New_York'")
        database.dispose()
    at = datetime(1, 1, 1, tzinfo=UTC)
    with database.begin() as session:
        reviews.store_reviews(session, [NewReview(text="old", reviewed_at=at)])
    with database.read() as session:
        assert reviews.list_reviews(session).items[0].reviewed_at == at


def test_a_database_that_was_never_migrated_is_told_from_a_defect(settings: Settings) -> None:
    bare = open_database(settings)
    with pytest.raises(DBAPIError) as caught, bare.read() as session:
        session.scalar(select(Job.id))
    assert outage_of(caught.value) is Outage.BEHIND
    bare.dispose()


def test_a_column_that_a_migration_would_add_is_told_from_a_defect(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.read() as session:
        session.execute(text("SELECT not_there_yet FROM jobs"))
    assert outage_of(caught.value) is Outage.BEHIND


def test_a_server_that_takes_no_writes_is_told_from_a_defect(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.read() as session:
        session.execute(text("DELETE FROM jobs"))
    assert outage_of(caught.value) is (Outage.AWAY if database.is_sqlite else Outage.READ_ONLY)


def test_a_defect_is_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.begin() as session:
        reviews.store_reviews(session, [NewReview(text="text", rating=9)])
    assert outage_of(caught.value) is None
