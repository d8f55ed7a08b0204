"""`hemline token`: secrets with which programs call the API."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from hemline.commands import opened
from hemline.errors import HemlineError
from hemline.output import Json, answer, table

app = typer.Typer(help="Secrets with which programs call the API.", no_args_is_help=True)


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="The user whose token it is.")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="May be repeated; all scopes when left out.")] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days until it expires; never when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print its secret, which is shown only here."""
    from store import accounts

    scopes = frozenset(scope or accounts.SCOPES)
    if unknown := scopes - accounts.SCOPES:
        known = ", ".join(sorted(accounts.SCOPES))
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: known are {known}", param_hint="--scope")
    if not name.strip():
        raise typer.BadParameter("is empty", param_hint="--name")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with opened.migrated_database() as database, database.begin() as session:
        owner = next((user for user in accounts.list_users(session) if user.email == email.strip().casefold()), None)
        if owner is None:
            raise HemlineError(f"no user has the address {email}", hint="`hemline user list` shows those who exist.")
        secret = accounts.create_token(session, user_id=owner.id, name=name, scopes=scopes, expires_at=expires_at)
    answer({"token": secret, "scopes": scopes, "expires_at": expires_at}, text=secret, as_json=as_json)


@app.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List the tokens, without their secrets."""
    from store import accounts

    with opened.migrated_database() as database, database.read() as session:
        tokens = accounts.list_tokens(session)
    rows = [vars(token) | {"user": token.user.email} for token in tokens]
    answer(tokens, text=table(rows), as_json=as_json)


@app.command()
def revoke(
    token_id: Annotated[int, typer.Argument(help="As `hemline token list` shows it.")], as_json: Json = False
) -> None:
    """End a token at once."""
    from store import accounts

    with opened.migrated_database() as database, database.begin() as session:
        ended = accounts.revoke_token(session, token_id)
    if not ended:
        raise HemlineError(f"no valid token has the number {token_id}")
    answer({"revoked": token_id}, text=f"Token {token_id} is revoked.", as_json=as_json)
