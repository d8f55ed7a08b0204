"""Which errors of the database are conditions that pass or that an operator ends, and which are defects of ours."""

from enum import StrEnum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_UNDEFINED_COLUMN, _UNDEFINED_TABLE, _READ_ONLY_TRANSACTION = "42703", "42P01", "25006"
_MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")


class Outage(StrEnum):
    """Why the database cannot serve at present, in words for the one who asked."""

    AWAY = "The database does not answer; try again shortly."
    READ_ONLY = "The database takes no writes at present, as after a failover; try again shortly."
    BEHIND = "The database is not at the newest revision: its operator has to run `hemline migrate`."


def outage_of(error: SQLAlchemyError) -> Outage | None:
    """What is wrong with the database, or None when the error is a defect."""
    sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if sqlstate in {_UNDEFINED_TABLE, _UNDEFINED_COLUMN} or _is_missing_in_sqlite(error):
        return Outage.BEHIND
    if sqlstate == _READ_ONLY_TRANSACTION:
        return Outage.READ_ONLY
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
        return Outage.AWAY
    return None


def _is_missing_in_sqlite(error: SQLAlchemyError) -> bool:
    return isinstance(error, OperationalError) and any(sign in str(error.orig) for sign in _MISSING_IN_SQLITE)
