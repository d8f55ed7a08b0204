"""Figures for Prometheus: the jobs and queues as SQL has them now, and the requests of this process."""

import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from store import jobs, queues
from store.database import Database
from web.gate import needs

blueprint = Blueprint("metrics", __name__)


class Backlog(Collector):
    """Reads the gauges from SQL when asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Yield jobs by state, and depth, oldest wait and listeners of each queue."""
        with self._database.read() as db:
            counts = jobs.counts(db)
            views = queues.list_queues(db)
        by_state = GaugeMetricFamily("hemline_jobs", "Jobs by state.", labels=["state"])
        for state, n_jobs in counts.items():
            by_state.add_metric([state], n_jobs)
        yield by_state
        depth = GaugeMetricFamily("hemline_queue_depth", "Jobs that wait.", labels=["queue"])
        wait = GaugeMetricFamily("hemline_queue_oldest_wait_seconds", "How long the oldest waits.", labels=["queue"])
        listeners = GaugeMetricFamily("hemline_queue_workers", "Living workers that serve it.", labels=["queue"])
        for view in views:
            depth.add_metric([view.name], view.depth)
            wait.add_metric([view.name], view.oldest_wait_s or 0.0)
            listeners.add_metric([view.name], view.workers)
        yield from (depth, wait, listeners)

    def describe(self) -> Iterator[Metric]:
        """Describe nothing beforehand, so that registering asks nothing of the database."""
        return iter(())


def register_metrics(app: Flask) -> None:
    """Count and time every request of this application."""
    registry = CollectorRegistry()
    requests = Counter(
        "hemline_http_requests", "Requests answered.", ["method", "endpoint", "status"], registry=registry
    )
    seconds = Histogram("hemline_http_request_seconds", "Time to answer.", ["endpoint"], registry=registry)
    registry.register(Backlog(app.extensions["hemline"].database))
    app.extensions["hemline_metrics"] = registry

    def start() -> None:
        g.started = time.perf_counter()

    def count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        requests.labels(request.method, endpoint, response.status_code).inc()
        seconds.labels(endpoint).observe(time.perf_counter() - g.get("started", time.perf_counter()))
        return response

    app.before_request(start)
    app.after_request(count)


@blueprint.get("/metrics")
@needs("admin")
def show() -> Response:
    """Show the figures; for administrators, because they tell about everybody's work."""
    return Response(generate_latest(current_app.extensions["hemline_metrics"]), content_type=CONTENT_TYPE_LATEST)
