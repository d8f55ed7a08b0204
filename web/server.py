"""The web server: gunicorn in this process, one worker of threads, which builds the application itself."""

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from store.logs import configure_logs
from store.settings import Settings
from web.app import create_app
from web.context import Site

GRACEFUL_S = 20
KEEP_ALIVE_S = 5
STUCK_AFTER_S = 60
MAX_REQUEST_LINE_BYTES = 8190  # gunicorn's own upper bound: a filter that is too long gets a page that says so


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn, configured by our settings only: no file, no arguments, no environment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Hand gunicorn its options."""
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application, in the worker: connections and threads never cross a fork."""
        configure_logs(self._settings)
        return create_app(self._settings)


def _options(settings: Settings) -> dict[str, Any]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "worker_class": "web.connections.PatientWorker",
        "workers": 1,
        "threads": settings.web_threads,
        "preload_app": False,
        "graceful_timeout": GRACEFUL_S,
        "timeout": STUCK_AFTER_S,
        "keepalive": KEEP_ALIVE_S,
        "accesslog": None,
        "limit_request_line": MAX_REQUEST_LINE_BYTES,
        "control_socket_disable": True,
        "proc_name": "hemline-web",
        "post_worker_init": _end_waits_on_stop,
    }


def _end_waits_on_stop(worker: Any) -> None:
    site: Site = worker.wsgi.extensions["hemline"]
    site.waiting.close_when(lambda: not worker.alive)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; requests under way get 20 s to finish.

    Returns:
        0 after an orderly stop. A port that is taken ends the process with gunicorn's own message.
    """
    configure_logs(settings)
    try:
        Server(settings).run()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0
