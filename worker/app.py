"""The Celery application, configured for a doorbell: messages may be lost, doubled or late, and no harm is done."""

from typing import Any

from celery import Celery

from store.jobs import QueueName
from store.settings import Settings
from worker.errors import MissingBrokerError

TASK_READ = "hemline.read"

# Settings and the failures that they answer are in docs/decisions/0001-sql-is-the-queue.md.
WORKER_SOCKET_S = 10
CLIENT_SOCKET_S = 1


def broker_url(settings: Settings) -> str:
    """The Redis URL as kombu spells it.

    Raises:
        MissingBrokerError: the settings name no Redis.
    """
    if settings.redis_url is None:
        raise MissingBrokerError("HEMLINE_REDIS_URL: required for this process; `hemline up` starts a Redis of its own")
    url = settings.redis_url
    return url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)


def make_worker_app(settings: Settings) -> Celery:
    """The application of a worker: it consumes."""
    app = _make_app(settings, socket_s=WORKER_SOCKET_S, connect_s=2)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_proc_alive_timeout=120,  # the default of 4 s kills a process that loads a model
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    return app


def make_client_app(settings: Settings) -> Celery:
    """The application of a process that only rings: it fails fast and never retries."""
    app = _make_app(settings, socket_s=CLIENT_SOCKET_S, connect_s=CLIENT_SOCKET_S)
    app.conf.broker_transport_options |= {"max_retries": 0}  # else kombu tries again for six seconds by itself
    return app


def _make_app(settings: Settings, *, socket_s: float, connect_s: float) -> Celery:
    app = Celery("hemline", set_as_current=False)
    transport: dict[str, Any] = {
        "visibility_timeout": 3600,
        "socket_timeout": socket_s,
        "socket_connect_timeout": connect_s,
        "socket_keepalive": not broker_url(settings).startswith("redis+socket"),
        "health_check_interval": 10,
        "unacked_restore_interval": 10,
    }
    app.conf.update(
        broker_url=broker_url(settings),
        broker_transport_options=transport,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=QueueName.INTERACTIVE,
        task_create_missing_queues=True,
    )
    return app
