from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from store.database import Database, open_database
from store.schema import Base
from store.settings import Settings
from store.upgrade import downgrade, is_at_head, upgrade


def test_the_revisions_make_what_the_schema_says(database: Database) -> None:
    with database.writer.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_goes_down_to_nothing_and_up_again(database: Database) -> None:
    downgrade(database, "base")
    assert inspect(database.reader).get_table_names() == ["alembic_version"]
    assert not is_at_head(database)
    upgrade(database)
    assert is_at_head(database)


def migrate(settings: Settings) -> str:
    opened = open_database(settings)
    try:
        return upgrade(opened)
    finally:
        opened.dispose()


def test_processes_that_migrate_side_by_side_all_find_it_done(settings: Settings) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        assert len(set(processes.map(migrate, [settings] * 3))) == 1
    opened = open_database(settings)
    assert is_at_head(opened)
    opened.dispose()


def test_the_lock_and_the_time_limit_of_a_migration_end_with_it(database: Database) -> None:
    upgrade(database)
    if database.is_sqlite:
        return
    with database.writer.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "30s"
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").scalar() == 0
