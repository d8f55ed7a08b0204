"""The doorbell: what the rest of the program may call to wake a worker. It never reaches the model's code."""

import time
from contextlib import closing

import structlog
from kombu.exceptions import KombuError, OperationalError
from redis import Redis, RedisError

from store.jobs import QueueName
from store.settings import Settings
from worker.app import CLIENT_SOCKET_S, TASK_READ, make_client_app

SILENT_AFTER_FAILURE_S = 5.0
BELL_EXPIRES_S = 3600
ENOUGH_BELLS = 64  # more than the workers of an installation; a bell wakes one of them, which reads all that waits

log = structlog.get_logger()


class Doorbell:
    """Wakes workers by a Redis message that carries a job id and nothing else.

    A bell that could not be rung is no error: the sweeper rings again. Safe to share between threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = make_client_app(settings)
        self._redis = Redis.from_url(
            settings.redis_url or "", socket_timeout=CLIENT_SOCKET_S, socket_connect_timeout=CLIENT_SOCKET_S
        )
        self._silent_until = 0.0

    def ring(self, job_id: str, queue: QueueName) -> bool:
        """Ring for a job, unless enough bells wait for an answer already.

        Returns:
            False when Redis does not answer, after a second at most.
        """
        if time.monotonic() < self._silent_until:
            return False
        try:
            if self._redis.llen(queue) >= ENOUGH_BELLS:
                return True
            self._app.send_task(TASK_READ, args=[job_id], queue=queue, retry=False, expires=BELL_EXPIRES_S)
        except (KombuError, OperationalError, RedisError, OSError) as error:
            self._silent_until = time.monotonic() + SILENT_AFTER_FAILURE_S
            log.warning("bell_not_rung", job_id=job_id, reason=type(error).__name__)
            return False
        return True

    def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except (RedisError, OSError):
            return False

    def bells(self, queue: QueueName) -> int | None:
        """How many bells of this queue nobody has answered yet; None when Redis does not answer."""
        try:
            return int(self._redis.llen(queue))
        except (RedisError, OSError):
            return None

    def close(self) -> None:
        """Give the connections back."""
        with closing(self._redis):
            self._app.close()
