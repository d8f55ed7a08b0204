from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from store.database import Database
from store.schema import Base
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
