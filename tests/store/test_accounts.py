"""Users, sign-ins and tokens."""

from datetime import UTC, datetime, timedelta

import pytest

from store import accounts
from store.accounts import SCOPES, Role
from store.database import Database
from store.errors import EmailTakenError

TOKEN = "t" * 40


def test_only_the_right_password_lets_in(database: Database) -> None:
    with database.begin() as session:
        accounts.create_user(session, email="Ann@Example.org ", password="right", role=Role.VIEWER)
    with database.read() as session:
        user = accounts.authenticate(session, email="ann@example.ORG", password="right")
        assert user is not None
        assert (user.email, user.role) == ("ann@example.org", Role.VIEWER)
        assert accounts.authenticate(session, email="ann@example.org", password="wrong") is None
        assert accounts.authenticate(session, email="bob@example.org", password="right") is None


def test_an_address_is_taken_once(database: Database) -> None:
    with database.begin() as session:
        accounts.create_user(session, email="ann@example.org", password="a", role=Role.ADMIN)
    with pytest.raises(EmailTakenError), database.begin() as session:
        accounts.create_user(session, email="ANN@example.org", password="b", role=Role.ADMIN)


def test_a_sign_in_holds_until_it_is_closed_or_the_password_changes(database: Database) -> None:
    with database.begin() as session:
        user = accounts.create_user(session, email="ann@example.org", password="a", role=Role.ADMIN)
        secrets = [
            accounts.open_login(session, user_id=user.id, address="127.0.0.1", user_agent="test") for _ in range(2)
        ]
    with database.begin() as session:
        assert accounts.login_user(session, secrets[0]) == user
        accounts.close_login(session, secrets[0])
        assert accounts.login_user(session, secrets[0]) is None
        assert accounts.login_user(session, secrets[1]) == user
        accounts.set_password(session, email="ann@example.org", password="b")
        assert accounts.login_user(session, secrets[1]) is None


def test_a_token_works_until_it_is_revoked_or_expires(database: Database) -> None:
    with database.begin() as session:
        user = accounts.create_user(session, email="ann@example.org", password="a", role=Role.ADMIN)
        lasting = accounts.create_token(session, user_id=user.id, name="x", scopes=frozenset({"jobs"}))
        expired = accounts.create_token(
            session,
            user_id=user.id,
            name="y",
            scopes=frozenset({"jobs"}),
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )
        with pytest.raises(ValueError, match="unknown scopes: fly"):
            accounts.create_token(session, user_id=user.id, name="z", scopes=frozenset({"fly"}))
    with database.begin() as session:
        token = accounts.token_of(session, lasting)
        assert token is not None
        assert (token.user, token.scopes) == (user, {"jobs"})
        assert accounts.token_of(session, expired) is None
        assert accounts.token_of(session, "hl_unknown") is None
        assert accounts.revoke_token(session, token.id)
        assert not accounts.revoke_token(session, token.id)
        assert accounts.token_of(session, lasting) is None


def test_provisioning_is_harmless_when_repeated_and_replaces_the_token(database: Database) -> None:
    for token in (TOKEN, TOKEN, "u" * 40):
        with database.begin() as session:
            accounts.provision_admin(session, email="root@example.org", password="secret", token=token)
    with database.read() as session:
        assert [user.role for user in accounts.list_users(session)] == [Role.ADMIN]
        assert accounts.authenticate(session, email="root@example.org", password="secret") is not None
        assert accounts.token_of(session, TOKEN) is None
        token = accounts.token_of(session, "u" * 40)
        assert token is not None
        assert token.scopes == SCOPES


def test_the_first_administrator_is_made_once(database: Database) -> None:
    with database.begin() as session:
        made = accounts.first_admin(session)
        assert made is not None
        assert accounts.first_admin(session) is None
        assert accounts.authenticate(session, email=made.email, password=made.password) is not None
