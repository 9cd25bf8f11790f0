"""The metrics in Prometheus' format, of all workers, on a port that is not the service's.

Every worker counts in a file of its own, and any of them answers for all. A worker takes the lowest
number that is free, and goes on with the file of that number: the counts of a worker outlive it,
and there are no more files than workers.
"""

import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from http.server import ThreadingHTTPServer
from threading import Thread

from gunicorn.workers.base import Worker
from prometheus_client import CollectorRegistry, Histogram, MetricsHandler, ProcessCollector, values
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from {{ cookiecutter.__package_name }}.settings import Settings

SERVICE = "{{ cookiecutter.__package_name }}"
# The methods that have series of their own; a client can make up any other.
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

_duration = Histogram(
    "http_server_request_duration_seconds",
    "Time from the head of a request to the end of its answer.",
    ["http_request_method", "http_route", "http_response_status_class"],
)

# The process ID of the worker of each number, or 0; the master process shares it with all workers.
_pids = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("i")
_STARTING = -1
# The number of this process.
_number = 0
_listener: socket.socket | None = None
_server: "Server | None" = None


@lru_cache(maxsize=4096)
def _series(method: str, route: str, status_class: int) -> Histogram:
    return _duration.labels(method if method in METHODS else "_OTHER", route, f"{status_class}xx")


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that took so many seconds.

    The route is the template that matched, such as /users/{id}: of paths there is no end.
    """
    _series(method, route, status // 100).observe(seconds)


class ServiceCollector(Collector):
    """Collects what is known of the build, and of the processes of the service."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings, which name the build."""
        self._build = {"version": settings.version, "revision": settings.revision}

    def collect(self) -> Iterator[Metric]:
        """Yield the build, and CPU time, memory and files of each process."""
        yield InfoMetricFamily(f"{SERVICE}_build", "What was built.", self._build)
        processes = {str(number): pid for number, pid in enumerate(_pids) if pid > 0}
        processes["master"] = os.getppid()
        families: dict[str, Metric] = {}
        for name, pid in processes.items():
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():
                family = Metric(metric.name, metric.documentation, metric.type)
                family = families.setdefault(metric.name, family)
                for sample in metric.samples:
                    family.add_sample(sample.name, {"process": name}, sample.value)
        yield from families.values()


class Handler(MetricsHandler):
    """Answers with the metrics."""

    # A scraper that sends nothing keeps no worker from its end for longer, in seconds.
    timeout = 5


class Server(ThreadingHTTPServer):
    """Listens where all workers do, and ends when it has sent what it began to send."""

    daemon_threads = False

    def __init__(self, listener: socket.socket, registry: CollectorRegistry) -> None:
        """Take the listener, and what to answer with."""
        super().__init__(("", 0), Handler.factory(registry), bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def start(settings: Settings, memory: str | None) -> None:
    """Open the port, in the master process, unless it is 0.

    The files of the workers go into a new folder in `memory`, or where temporary files go.

    Raises:
        OSError: the port cannot be had.
    """
    if not settings.metrics_port:
        return
    global _listener
    _listener = socket.create_server(("", settings.metrics_port))
    # Every worker is told of a connection, and all but the first find it taken.
    _listener.setblocking(False)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-", dir=memory)
    values.ValueClass = values.MultiProcessValue(lambda: _number)


def pre_fork(worker: Worker) -> None:
    """Give a worker that is about to start the lowest number that is free."""
    worker.number = next(number for number, pid in enumerate(_pids) if not pid)
    _pids[worker.number] = _STARTING


def post_fork(worker: Worker, settings: Settings) -> None:
    """Begin to count, and to answer for all workers, in a worker."""
    if not _listener:
        return
    global _number, _server
    _number = worker.number
    _pids[_number] = worker.pid
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    registry.register(ServiceCollector(settings))
    _server = Server(_listener, registry)
    Thread(target=_server.serve_forever, name="metrics", daemon=True).start()


def worker_exit() -> None:
    """End the answers that a worker has begun, before it ends."""
    if _server:
        _server.shutdown()
        _server.server_close()


def child_exit(worker: Worker) -> None:
    """Free the number of a worker that has ended."""
    _pids[worker.number] = 0


def stop() -> None:
    """Remove the files of all workers, in the master process."""
    if _listener:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
