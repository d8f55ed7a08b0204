"""Who may come in: users with passwords, the browsers they are signed in from, tokens for programs."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from store.database import now
from store.errors import EmailTakenError
from store.schema import Login, Token, User

LOGIN_LASTS = timedelta(days=14)
FIRST_ADMIN_EMAIL = "admin@localhost"
SCOPES = frozenset({"reviews:read", "reviews:write", "jobs", "train", "admin"})
PROVISIONED_TOKEN_NAME = "provisioned by HEMLINE_ADMIN_TOKEN"  # noqa: S105 (a label, not a secret)

_hasher = PasswordHasher()


class Role(StrEnum):
    """What a person may do, each role more than the one before."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True)
class UserView:
    """A person."""

    id: int
    email: str
    role: Role
    is_disabled: bool


@dataclass(frozen=True)
class TokenView:
    """An API token, without its secret."""

    id: int
    user: UserView
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Credentials:
    """An e-mail address and a password, to be shown once."""

    email: str
    password: str


def authenticate(session: Session, *, email: str, password: str) -> UserView | None:
    """The user with this password, or None; an unknown user costs the same time as a wrong password."""
    row = session.scalars(select(User).where(User.email == _normal(email))).one_or_none()
    matches = _verifies(row.password_hash if row else _nobodys_hash(), password)
    if row is None or not matches or row.disabled_at is not None:
        return None
    return _user(row)


def _verifies(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_hex())


def _normal(email: str) -> str:
    return email.strip().casefold()


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_user(session: Session, *, email: str, password: str, role: Role) -> UserView:
    """Add a person.

    Raises:
        EmailTakenError: the address is in use.
    """
    if has_user(session, email):
        raise EmailTakenError(f"{email}: a user with this address exists")
    row = User(email=_normal(email), password_hash=_hasher.hash(password), role=role, created_at=now(session))
    session.add(row)
    session.flush()
    return _user(row)


def set_password(session: Session, *, email: str, password: str) -> UserView | None:
    """Change a password and sign the person out everywhere; None when there is no such user."""
    row = session.scalars(select(User).where(User.email == _normal(email))).one_or_none()
    if row is None:
        return None
    row.password_hash = _hasher.hash(password)
    session.execute(delete(Login).where(Login.user_id == row.id))
    session.flush()
    return _user(row)


def has_user(session: Session, email: str) -> bool:
    """Whether somebody has this address."""
    return session.scalar(select(User.id).where(User.email == _normal(email))) is not None


def list_users(session: Session) -> list[UserView]:
    """Everybody, by address."""
    return [_user(row) for row in session.scalars(select(User).order_by(User.email))]


def open_login(session: Session, *, user_id: int, address: str, user_agent: str) -> str:
    """Sign a browser in; returns the secret for its cookie, which is kept only as a hash."""
    secret = secrets.token_urlsafe(32)
    at = now(session)
    session.execute(delete(Login).where(Login.expires_at < at))
    session.execute(
        insert(Login).values(
            secret_sha256=_sha256(secret),
            user_id=user_id,
            address=address[:64],
            user_agent=user_agent[:255],
            created_at=at,
            expires_at=at + LOGIN_LASTS,
        )
    )
    return secret


def login_user(session: Session, secret: str) -> UserView | None:
    """Whose browser this is, or None when it is signed out."""
    row = session.scalars(
        select(User)
        .join(Login, Login.user_id == User.id)
        .where(Login.secret_sha256 == _sha256(secret), Login.expires_at > now(session), User.disabled_at.is_(None))
    ).one_or_none()
    return None if row is None else _user(row)


def close_login(session: Session, secret: str) -> None:
    """Sign a browser out."""
    session.execute(delete(Login).where(Login.secret_sha256 == _sha256(secret)))


def create_token(
    session: Session, *, user_id: int, name: str, scopes: frozenset[str], expires_at: datetime | None = None
) -> str:
    """Make a token and return its secret, 256 bits, which is kept only as a hash."""
    secret = f"hl_{secrets.token_urlsafe(32)}"
    _insert_token(session, user_id, secret, name=name, scopes=scopes, expires_at=expires_at)
    return secret


def _insert_token(
    session: Session, user_id: int, secret: str, *, name: str, scopes: frozenset[str], expires_at: datetime | None
) -> None:
    unknown = scopes - SCOPES
    if unknown:
        raise ValueError(f"unknown scopes: {', '.join(sorted(unknown))}")
    session.execute(
        insert(Token).values(
            user_id=user_id,
            name=name,
            secret_sha256=_sha256(secret),
            scopes=sorted(scopes),
            created_at=now(session),
            expires_at=expires_at,
        )
    )


def token_of(session: Session, secret: str) -> TokenView | None:
    """The valid token with this secret, or None."""
    at = now(session)
    found = session.execute(
        select(Token, User)
        .join(User, User.id == Token.user_id)
        .where(
            Token.secret_sha256 == _sha256(secret),
            Token.revoked_at.is_(None),
            Token.expires_at.is_(None) | (Token.expires_at > at),
            User.disabled_at.is_(None),
        )
    ).one_or_none()
    return None if found is None else _token(*found)


def list_tokens(session: Session) -> list[TokenView]:
    """Every token, newest first."""
    rows = session.execute(select(Token, User).join(User, User.id == Token.user_id).order_by(Token.id.desc()))
    return [_token(token, user) for token, user in rows]


def revoke_token(session: Session, token_id: int) -> bool:
    """End a token; False when there is none that is valid."""
    ended = (
        update(Token)
        .where(Token.id == token_id, Token.revoked_at.is_(None))
        .values(revoked_at=now(session))
        .returning(Token.id)
    )
    return session.scalar(ended) is not None


def provision_admin(session: Session, *, email: str | None, password: str | None, token: str | None) -> None:
    """Make sure that the configured administrator exists with this password and this token. Harmless when repeated.

    Args:
        session: a write transaction.
        email: the address; `admin@localhost` when None.
        password: set where given and different; a new user without one cannot sign in with a password.
        token: a secret that has all scopes; the one provisioned earlier is revoked.
    """
    address = _normal(email or FIRST_ADMIN_EMAIL)
    row = session.scalars(select(User).where(User.email == address)).one_or_none()
    if row is None:
        create_user(session, email=address, password=password or secrets.token_urlsafe(32), role=Role.ADMIN)
        row = session.scalars(select(User).where(User.email == address)).one()
    elif password is not None and not _verifies(row.password_hash, password):
        row.password_hash = _hasher.hash(password)
    row.role = Role.ADMIN
    session.flush()
    if token is not None:
        _provision_token(session, row.id, token)


def _provision_token(session: Session, user_id: int, secret: str) -> None:
    provisioned = (Token.name == PROVISIONED_TOKEN_NAME) & (Token.secret_sha256 != _sha256(secret))
    session.execute(update(Token).where(provisioned, Token.revoked_at.is_(None)).values(revoked_at=now(session)))
    known = session.scalars(select(Token).where(Token.secret_sha256 == _sha256(secret))).one_or_none()
    if known is None:
        _insert_token(session, user_id, secret, name=PROVISIONED_TOKEN_NAME, scopes=SCOPES, expires_at=None)
    else:
        known.user_id, known.revoked_at, known.scopes = user_id, None, sorted(SCOPES)
        session.flush()


def first_admin(session: Session) -> Credentials | None:
    """Create the first administrator of an installation without users; None when it has one."""
    if session.scalar(select(func.count()).select_from(User)):
        return None
    password = secrets.token_urlsafe(12)
    create_user(session, email=FIRST_ADMIN_EMAIL, password=password, role=Role.ADMIN)
    return Credentials(FIRST_ADMIN_EMAIL, password)


def _user(row: User) -> UserView:
    return UserView(row.id, row.email, Role(row.role), row.disabled_at is not None)


def _token(row: Token, user: User) -> TokenView:
    return TokenView(
        id=row.id,
        user=_user(user),
        name=row.name,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
