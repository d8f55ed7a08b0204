"""The application factory."""

from pathlib import Path

from apiflask import APIFlask
from flask_wtf import CSRFProtect

from store.database import open_database
from store.errors import SettingsError
from store.queues import DepthGauge
from store.settings import Settings
from web import gate, health, metrics, openapi, problems, security
from web.api import datasets as api_datasets
from web.api import fleet as api_fleet
from web.api import jobs as api_jobs
from web.api import models as api_models
from web.api import reviews as api_reviews
from web.context import Site
from web.converters import JobIdConverter, RowIdConverter
from web.formats import register_formats
from web.limits import by_address, by_token, make_limiter
from web.pages import datasets, docs, fleet, jobs, login, models, read, reviews, train
from web.request import MAX_BODY_BYTES, MAX_FORM_PARTS, StrictRequest
from web.waiting_room import WaitingRoom
from worker.queue import Doorbell

BUSY_TIMEOUT_S = 5.0  # a request gives up on a locked SQLite file long before a worker does
YEAR_S = 365 * 24 * 3600  # static files are named with their hash, so they may be kept


def create_app(settings: Settings) -> APIFlask:
    """Build the site over the database and the Redis that the settings name; nothing is connected yet.

    Raises:
        SettingsError: there is no secret key or no Redis.
    """
    if settings.secret_key is None:
        raise SettingsError("HEMLINE_SECRET_KEY: required; `hemline up` makes one by itself")
    if settings.redis_url is None:
        raise SettingsError("HEMLINE_REDIS_URL: required; `hemline up` starts a server of its own")
    app = APIFlask(
        "web",
        title="Hemline",
        version="1",
        spec_path="/api/openapi.json",
        docs_path=None,
        json_errors=False,
        static_folder=str(Path(__file__).parent / "static"),
        template_folder=str(Path(__file__).parent / "templates"),
    )
    app.request_class = StrictRequest
    app.session_interface = security.SessionCookie()
    app.config.update(_config(settings.secret_key.get_secret_value()))
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.url_map.converters |= {"job_id": JobIdConverter, "row_id": RowIdConverter}
    database = open_database(settings, busy_timeout_s=BUSY_TIMEOUT_S)
    app.extensions["hemline"] = Site(
        settings=settings,
        database=database,
        depth=DepthGauge(database, at_most=settings.queue_limit),
        doorbell=Doorbell(settings),
        waiting=WaitingRoom(settings.web_threads // 2),
    )
    problems.register_error_handlers(app)
    register_formats(app)
    metrics.register_metrics(app)
    gate.register_gate(app)  # before the limiter, which counts by token, and before CSRF
    _register_views(app, settings)
    openapi.register_openapi(app)
    app.after_request(security.harden)
    return app


def _config(secret_key: str) -> dict[str, object]:
    return {
        "SECRET_KEY": secret_key,
        "MAX_FORM_MEMORY_SIZE": MAX_BODY_BYTES,
        "MAX_FORM_PARTS": MAX_FORM_PARTS,
        "SEND_FILE_MAX_AGE_DEFAULT": YEAR_S,
        "SESSION_COOKIE_NAME": "hemline",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session: a page left open overnight still works
    }


def _register_views(app: APIFlask, settings: Settings) -> None:
    limiter = make_limiter(settings)
    csrf = CSRFProtect()
    # Shared, so that a token has one allowance and not one for each address.
    per_token = limiter.shared_limit(f"{settings.token_rate_per_minute} per minute", scope="token", key_func=by_token)
    apis = (api_reviews, api_jobs, api_datasets, api_models, api_fleet)
    for api in (module.blueprint for module in apis):
        csrf.exempt(api)  # no cookie is looked at there
        per_token(api)
        app.register_blueprint(api)
    for pages in (login, read, reviews, jobs, datasets, train, models, fleet, docs, health, metrics):
        app.register_blueprint(pages.blueprint)
    sign_in = app.view_functions["login.sign_in"]
    limited = limiter.limit(f"{settings.login_rate_per_minute} per minute", key_func=by_address)(sign_in)
    app.view_functions["login.sign_in"] = limited  # type: ignore[assignment]  # sync as it was
    limiter.init_app(app)
    csrf.init_app(app)
