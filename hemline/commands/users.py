"""`hemline user`: who may sign in."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

if TYPE_CHECKING:
    from store.database import Database

MIN_PASSWORD = 10

app = typer.Typer(help="Who may sign in.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
Password = Annotated[str | None, typer.Option(help="Asked for when left out.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from a line of standard input.")]


@app.command()
def add(
    email: Email,
    role: Annotated[str, typer.Option(help="viewer, analyst, operator or admin.")] = "viewer",
    password: Password = None,
    password_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Add a user."""
    from store import accounts
    from store.settings import is_email

    if role not in list(accounts.Role):
        raise typer.BadParameter(f"is one of {', '.join(accounts.Role)}", param_hint="--role")
    if not is_email(email):
        raise typer.BadParameter("is no e-mail address", param_hint="EMAIL")
    with opened.migrated_database() as database:
        _look_for(database, email, must_exist=False)
        chosen = _choose(password, from_stdin=password_stdin)
        with database.begin() as session:
            made = accounts.create_user(session, email=email, password=chosen, role=accounts.Role(role))
    answer(made, text=f"{made.email} may sign in as {made.role}.", as_json=as_json)


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """List the users."""
    from store import accounts

    with opened.migrated_database() as database, database.read() as session:
        users = accounts.list_users(session)
    answer(users, text=table([vars(user) for user in users]), as_json=as_json)


@app.command()
def passwd(email: Email, password: Password = None, password_stdin: FromStdin = False, as_json: Json = False) -> None:
    """Change a password, which signs the user out everywhere."""
    from store import accounts

    with opened.migrated_database() as database:
        _look_for(database, email, must_exist=True)
        chosen = _choose(password, from_stdin=password_stdin)
        with database.begin() as session:
            changed = accounts.set_password(session, email=email, password=chosen)
    if changed is None:
        raise _unknown(email)
    answer(changed, text=f"The password of {changed.email} is changed.", as_json=as_json)


def _look_for(database: "Database", email: str, *, must_exist: bool) -> None:
    """Say before anybody types a password that it would be in vain."""
    from store import accounts

    with database.read() as session:
        exists = accounts.has_user(session, email)
    if exists and not must_exist:
        raise HemlineError(f"{email}: a user with this address exists")
    if must_exist and not exists:
        raise _unknown(email)


def _unknown(email: str) -> HemlineError:
    return HemlineError(f"no user has the address {email}", hint="`hemline user list` shows those who exist.")


def _choose(password: str | None, *, from_stdin: bool) -> str:
    # Asked on standard error: standard output is the answer's.
    if from_stdin:
        password = sys.stdin.readline().removesuffix("\n")
    elif password is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < MIN_PASSWORD:
        raise typer.BadParameter(f"needs at least {MIN_PASSWORD} characters", param_hint="--password")
    return password
