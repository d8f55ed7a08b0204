"""Signing in and out, and the colours that a browser prefers."""

from http import HTTPStatus

from flask import Blueprint, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded

from store import accounts
from web.context import site
from web.formats import THEMES, count
from web.gate import LOGIN_KEY, local_path, needs
from web.limits import retry_after_s

MAX_CREDENTIAL_CHARS = 1_000
YEAR_S = 365 * 24 * 3600
MISMATCH = ("That did not match.", "Check the e-mail address and the password.")

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def show() -> ResponseReturnValue:
    """Show the sign-in form."""
    return _page(wanted=local_path(request.args.get("next")))


@blueprint.post("/login")
def sign_in() -> ResponseReturnValue:
    """Sign in and go to the page that was asked for (303), or show the form again (422)."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    wanted = local_path(request.form.get("next"))
    secret = _open_login(email, password) if _may_be_credentials(email, password) else None
    if secret is None:
        return _page(wanted=wanted, email=email, refusal=MISMATCH), HTTPStatus.UNPROCESSABLE_ENTITY
    session.clear()  # nothing of the stranger's session survives, its CSRF token included
    session[LOGIN_KEY] = secret
    return redirect(wanted, HTTPStatus.SEE_OTHER)


@blueprint.errorhandler(RateLimitExceeded)
def too_many(_: RateLimitExceeded) -> ResponseReturnValue:
    """Show the form again with how long to wait (429)."""
    wait_s = retry_after_s()
    refusal = ("One moment, please.", f"Too many attempts from here. Try again in {count(wait_s, 'second')}.")
    page = _page(wanted=local_path(request.form.get("next")), email=request.form.get("email", ""), refusal=refusal)
    return page, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait_s)}


def _page(*, wanted: str, email: str = "", refusal: tuple[str, str] | None = None) -> str:
    return render_template("login/page.html", next=wanted, email=email[:320], refusal=refusal)


def _may_be_credentials(email: str, password: str) -> bool:
    return all(0 < len(value) <= MAX_CREDENTIAL_CHARS and "\x00" not in value for value in (email, password))


def _open_login(email: str, password: str) -> str | None:
    # Argon2 takes its time on purpose: it must not hold SQLite's write lock meanwhile.
    with site().database.read() as db:
        user = accounts.authenticate(db, email=email, password=password)
    if user is None:
        return None
    with site().database.begin() as db:
        return accounts.open_login(
            db, user_id=user.id, address=request.remote_addr or "", user_agent=request.user_agent.string
        )


@blueprint.post("/logout")
@needs("reviews:read")
def sign_out() -> ResponseReturnValue:
    """End the session, here and in the database."""
    with site().database.begin() as db:
        accounts.close_login(db, session[LOGIN_KEY])
    session.clear()
    return redirect("/login", HTTPStatus.SEE_OTHER)


@blueprint.post("/theme")
@needs("reviews:read")
def choose_theme() -> ResponseReturnValue:
    """Remember light or dark in a cookie, or forget it for `auto`, and go back to the page."""
    response = redirect(local_path(request.form.get("next")), HTTPStatus.SEE_OTHER)
    chosen = request.form.get("theme", "")
    if chosen in THEMES:
        response.set_cookie("theme", chosen, max_age=YEAR_S, samesite="Lax", secure=request.is_secure)
    else:
        response.delete_cookie("theme", samesite="Lax", secure=request.is_secure)
    return response
