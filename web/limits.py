"""How often one may ask: sign-in attempts by address, API calls by token."""

import time

from flask import current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from store.settings import Settings
from web.context import identity

REDIS_TIMEOUT_S = 1
WINDOW_S = 60


def make_limiter(settings: Settings) -> Limiter:
    """A limiter that counts in Redis, and in memory while Redis is away: it neither blocks nor fails for it."""
    uri = settings.redis_url or "memory://"
    is_redis = not uri.startswith("memory:")
    timeouts = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    return Limiter(
        get_remote_address,
        storage_uri=f"redis+{uri}" if uri.startswith("unix:") else uri,
        storage_options=timeouts if is_redis else {},  # type: ignore[arg-type]  # typed str, takes what redis-py takes
        in_memory_fallback_enabled=is_redis,
        swallow_errors=True,
        key_prefix="hemline",
    )


def by_token() -> str:
    """The key of an API call; the gate has found its token."""
    return f"token:{identity().token_id}"


def by_address() -> str:
    """The key of a sign-in attempt."""
    return f"address:{request.remote_addr}"


def retry_after_s() -> int:
    """Seconds until the limit that this request broke lets the next one through."""
    limiter: Limiter = next(iter(current_app.extensions["limiter"]))
    broken = limiter.current_limit
    return max(broken.reset_at - int(time.time()), 1) if broken else WINDOW_S
