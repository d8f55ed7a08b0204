"""What every view may reach: the settings, the database, the doorbell, and who is asking."""

from dataclasses import dataclass

from flask import current_app, g

from store.accounts import Role, UserView
from store.database import Database
from store.jobs import Actor
from store.queues import DepthGauge
from store.settings import Settings
from web.waiting_room import WaitingRoom
from worker.queue import Doorbell

ROLE_SCOPES: dict[Role, frozenset[str]] = {
    Role.VIEWER: frozenset({"reviews:read"}),
    Role.ANALYST: frozenset({"reviews:read", "reviews:write", "train"}),
    Role.OPERATOR: frozenset({"reviews:read", "reviews:write", "train", "jobs"}),
    Role.ADMIN: frozenset({"reviews:read", "reviews:write", "train", "jobs", "admin"}),
}


@dataclass(frozen=True)
class Site:
    """The parts that one application instance shares among its threads."""

    settings: Settings
    database: Database
    depth: DepthGauge
    doorbell: Doorbell
    waiting: WaitingRoom


@dataclass(frozen=True)
class Identity:
    """Who is asking: a person with a session, or a program with a token."""

    user: UserView
    scopes: frozenset[str]
    token_id: int | None = None

    @property
    def actor(self) -> Actor:
        """The same, as the store records it."""
        return Actor(user_id=self.user.id, token_id=self.token_id, name=self.user.email)


def site() -> Site:
    """The parts of the running application."""
    shared: Site = current_app.extensions["hemline"]
    return shared


def identity() -> Identity:
    """Who is asking; only for views behind the gate."""
    who: Identity = g.identity
    return who


def visitor() -> Identity | None:
    """Who is asking, None on public pages and before the gate has looked."""
    who: Identity | None = g.get("identity")
    return who
