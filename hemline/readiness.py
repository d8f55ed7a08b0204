"""Whether an installation answers, and what its operator is told once it does."""

import json
import shlex
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO

from store.accounts import Credentials
from store.settings import Settings

ACCEPTING, READING = "/readyz", "/readyz?all=1"


@dataclass(frozen=True)
class Ready:
    """What is announced once everything answers. `first_admin` only when it was created in this start."""

    url: str
    first_admin: Credentials | None
    after_s: float


def address(settings: Settings) -> str:
    """The URL at which this machine's browser finds the site."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 (read, not bound)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def what_is_missing(settings: Settings, what: str) -> str | None:
    """What keeps the installation from `ACCEPTING` or `READING` reviews, in words; None when it is ready."""
    try:
        with _open(f"{address(settings)}{what}"):
            return None
    except urllib.error.HTTPError as error:
        return _failed_checks(error) or f"the web server answers {error.code}"
    except (OSError, HTTPException) as error:
        return f"the web server does not answer ({error})"


def is_answering(settings: Settings) -> bool:
    """Whether a Hemline answers where the settings say."""
    try:
        with _open(f"{address(settings)}/healthz") as response:
            return isinstance(json.load(response), dict)
    except (OSError, HTTPException, ValueError):
        return False


def _open(url: str) -> IO[bytes]:
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know this machine
    response: IO[bytes] = without_proxy.open(url, timeout=2)
    return response


def _failed_checks(error: urllib.error.HTTPError) -> str | None:
    try:
        checks = json.load(error)["checks"]
        return ", ".join(f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def sign_in(settings: Settings, made: Credentials) -> list[str]:
    """How the operator gets in for the first time; the generated password appears here and never again."""
    return [
        "",
        f"The site answers: {address(settings)}. Sign in with",
        f"  e-mail    {made.email}",
        f"  password  {made.password}   (shown this once; only its hash is kept)",
        "",
    ]


def banner(settings: Settings, ready: Ready) -> list[str]:
    """What the operator sees once everything answers."""
    return [
        "",
        f"Hemline is ready after {ready.after_s:.1f} s: {ready.url}",
        f"State is in {shlex.quote(str(settings.home.resolve()))}. Ctrl-C stops everything.",
        "",
    ]
