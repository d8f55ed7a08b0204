"""Who may come in. Denied unless public: programs by token, people by session, each view with its scope."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import Response, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from store import accounts
from store.accounts import Role
from web.context import ROLE_SCOPES, Identity, site
from web.errors import ProblemError

PUBLIC_ENDPOINTS = frozenset(
    {"login.show", "login.sign_in", "static", "health.healthz", "health.readyz", "docs.show", "openapi.spec"}
)
LOGIN_KEY = "login"
SIGN_IN_ELSEWHERE = "You are no longer signed in. Sign in again in another tab, then press Read."
READING = ("reviews:read", "reviews:write", "jobs", "train")  # whoever may ask for work may look at how it goes
RELEASING = frozenset({Role.OPERATOR, Role.ADMIN})  # who may say which model serves

View = TypeVar("View", bound=Callable[..., object])


def needs(*scopes: str, roles: frozenset[Role] | None = None) -> Callable[[View], View]:
    """Declare that a view takes any one of these scopes. A view behind the gate that declares none is refused.

    Args:
        scopes: any one is enough.
        roles: the person, or the one whose token it is, also has to have one of these; None for any.
    """

    def declare(view: View) -> View:
        view.needs_scopes = frozenset(scopes)  # type: ignore[attr-defined]  # functions carry attributes
        view.needs_roles = roles  # type: ignore[attr-defined]
        return view

    return declare


def guard() -> ResponseReturnValue | None:
    """Before each request: let the public through, find out who asks, and refuse what they may not do."""
    if (request.endpoint or _endpoint_of_another_method()) in PUBLIC_ENDPOINTS:
        if request.endpoint == "docs.show":
            g.identity = _by_session()  # whoever is signed in finds the way back
        return None
    if request.path.startswith("/api/"):
        g.identity = _by_token()
    else:
        found = _by_token() if request.path == "/metrics" and request.authorization else _by_session()
        if found is None:
            return _to_login()
        g.identity = found
    _check_scope(g.identity)
    return None


def _endpoint_of_another_method() -> str | None:
    """The view at this address when it does not take this method: what is public says 405 to a stranger too."""
    refusal = request.routing_exception
    if not isinstance(refusal, MethodNotAllowed) or not refusal.valid_methods:
        return None
    router = current_app.create_url_adapter(request)
    return router.match(method=next(iter(refusal.valid_methods)))[0] if router else None


def _check_scope(who: Identity) -> None:
    if request.endpoint is None or request.url_rule is None:
        return  # 404 and 405 follow, for those who are in
    view = current_app.view_functions[request.endpoint]
    needed: frozenset[str] = getattr(view, "needs_scopes", frozenset())
    if not needed & who.scopes:
        wanted = " or ".join(sorted(needed)) or "no scope that exists"
        raise ProblemError(HTTPStatus.FORBIDDEN, f"This needs the scope {wanted}.")
    roles: frozenset[Role] | None = getattr(view, "needs_roles", None)
    if roles is not None and who.user.role not in roles:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"This needs the role {' or '.join(sorted(roles))}.")


def _by_token() -> Identity:
    given = request.authorization
    secret = given.token if given is not None and given.type == "bearer" else None
    if not secret:
        raise _unauthorized("Send an API token as Authorization: Bearer <token>.")
    with site().database.read() as db:
        token = accounts.token_of(db, secret)
    if token is None:
        raise _unauthorized("The token is unknown, expired or revoked.", error="invalid_token")
    return Identity(token.user, token.scopes, token_id=token.id)


def _unauthorized(detail: str, *, error: str | None = None) -> ProblemError:
    challenge = 'Bearer realm="hemline"' + (f', error="{error}"' if error else "")
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})


def _by_session() -> Identity | None:
    secret = session.get(LOGIN_KEY)
    if not secret:
        return None
    with site().database.read() as db:
        user = accounts.login_user(db, secret)
    return None if user is None else Identity(user, ROLE_SCOPES[user.role])


def _to_login() -> ResponseReturnValue:
    if request.path == "/metrics":
        raise _unauthorized("Send an API token of an administrator.")
    wanted = request.full_path.rstrip("?") if request.method == "GET" and request.path != "/" else None
    if request.headers.get("HX-Request") and request.method != "GET":
        raise ProblemError(HTTPStatus.UNAUTHORIZED, SIGN_IN_ELSEWHERE)  # leaving the page would lose what was typed
    if request.headers.get("HX-Request"):
        return Response(status=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": url_for("login.show")})
    return redirect(url_for("login.show", next=wanted), HTTPStatus.SEE_OTHER)


def local_path(wanted: str | None) -> str:
    """The page to go to after signing in: a path on this site, or the home page for anything else."""
    if not wanted or not wanted.startswith("/") or wanted.startswith("//") or not wanted.isprintable():
        return "/"
    parts = urlsplit(wanted)
    is_here = not parts.scheme and not parts.netloc and "\\" not in wanted
    return wanted if is_here and parts.path.rstrip("/") not in {"/login", "/logout"} else "/"


def register_gate(app: APIFlask) -> None:
    """Put the gate before everything else that looks at a request."""
    app.before_request(guard)
