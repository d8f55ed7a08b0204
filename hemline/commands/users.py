"""`hemline user`: who may sign in."""

from typing import Annotated

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

MIN_PASSWORD = 10

app = typer.Typer(help="Who may sign in.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
Password = Annotated[
    str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="Asked for when left out.")
]


@app.command()
def add(
    email: Email,
    password: Password,
    role: Annotated[str, typer.Option(help="viewer, analyst, operator or admin.")] = "viewer",
    as_json: Json = False,
) -> None:
    """Add a user."""
    from store import accounts

    if role not in list(accounts.Role):
        raise typer.BadParameter(f"is one of {', '.join(accounts.Role)}", param_hint="--role")
    _check_password(password)
    with opened.migrated_database() as database, database.begin() as session:
        made = accounts.create_user(session, email=email, password=password, role=accounts.Role(role))
    answer(made, text=f"{made.email} may sign in as {made.role}.", as_json=as_json)


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """List the users."""
    from store import accounts

    with opened.migrated_database() as database, database.read() as session:
        users = accounts.list_users(session)
    answer(users, text=table([vars(user) for user in users]), as_json=as_json)


@app.command()
def passwd(email: Email, password: Password, as_json: Json = False) -> None:
    """Change a password, which signs the user out everywhere."""
    from store import accounts

    _check_password(password)
    with opened.migrated_database() as database, database.begin() as session:
        changed = accounts.set_password(session, email=email, password=password)
    if changed is None:
        raise HemlineError(f"no user has the address {email}")
    answer(changed, text=f"The password of {changed.email} is changed.", as_json=as_json)


def _check_password(password: str) -> None:
    if len(password) < MIN_PASSWORD:
        raise typer.BadParameter(f"needs at least {MIN_PASSWORD} characters", param_hint="--password")
