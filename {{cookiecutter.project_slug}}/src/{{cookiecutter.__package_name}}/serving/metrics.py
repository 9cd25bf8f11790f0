"""The metrics of all workers, for Prometheus, on a port that is not the service's.

Each process counts in files of its own, and any worker answers for all. A metric of the service's
own needs no more than `Counter("name", "help")`, wherever it is made; a Gauge says by its
`multiprocess_mode` what the values of several processes add up to.
"""

import atexit
import fcntl
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from . import SERVICE
from .settings import ServerSettings

logger = logging.getLogger(__name__)

# In memory, where no slow disk is waited for. prometheus_client looks for it when it is imported.
_memory = Path("/dev/shm")  # noqa: S108
_folder = Path(tempfile.mkdtemp(prefix="metrics-", dir=_memory if _memory.is_dir() else None))
_master = os.getpid()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_folder)

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Gauge,
    Histogram,
    MetricsHandler,
    ProcessCollector,
)
from prometheus_client.metrics_core import Metric  # noqa: E402
from prometheus_client.mmap_dict import MmapedDict  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

# The methods that have series of their own; a client can make up any other.
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

_duration = Histogram(
    "http_server_request_duration_seconds",
    "Time from the head of a request to the end of its answer.",
    ["http_request_method", "url_scheme", "http_route", "http_response_status_code"],
)
_active = Gauge(
    "http_server_active_requests",
    "Requests that are being answered.",
    ["http_request_method", "url_scheme"],
    multiprocess_mode="livesum",
)
_build = Gauge(
    f"{SERVICE.replace('-', '_')}_build_info",
    "What was built.",
    ["version", "revision"],
    multiprocess_mode="livemax",
)
_listener: socket.socket | None = None
_server: ThreadingHTTPServer | None = None


@lru_cache(maxsize=64)
def _active_series(method: str, scheme: str) -> Gauge:
    return _active.labels(method if method in METHODS else "_OTHER", scheme)


@lru_cache(maxsize=4096)
def _series(method: str, scheme: str, route: str, status: int) -> Histogram:
    return _duration.labels(method if method in METHODS else "_OTHER", scheme, route, status)


def begin(method: str, scheme: str) -> None:
    """Count a request that begins."""
    _active_series(method, scheme).inc()


def observe(method: str, scheme: str, route: str, status: int, seconds: float) -> None:
    """Count a request that took so many seconds.

    The route is the route template, such as /users/{id}: paths would be series without end.
    """
    _active_series(method, scheme).dec()
    _series(method, scheme, route, status).observe(seconds)


class ProcessesCollector(Collector):
    """Collects CPU time, memory and open files of the master process and its workers."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, each with a series for each process."""
        master = os.getppid()
        families: dict[str, Metric] = {}
        with suppress(OSError):  # there is no /proc on macOS
            workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
            for pid in (str(master), *workers):
                for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                    family = Metric(metric.name, metric.documentation, metric.type)
                    family = families.setdefault(metric.name, family)
                    for sample in metric.samples:
                        family.add_sample(sample.name, {"pid": pid}, sample.value)
        yield from families.values()


class WorkersCollector(Collector):
    """Collects what the workers have counted, those that have ended too."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, but not while the counts of an ended worker are moved."""
        with _locked(fcntl.LOCK_SH):
            # A file that a worker has just made is empty for a moment.
            files = [str(file) for file in _folder.glob("*.db") if file.stat().st_size]
            metrics: Iterable[Metric] = MultiProcessCollector.merge(files)
            return metrics


@contextmanager
def _locked(operation: int) -> Iterator[None]:
    with (_folder / "lock").open("w") as file:
        fcntl.flock(file, operation)
        yield


class _Handler(MetricsHandler):
    # A scraper that sends nothing keeps no worker from its end for longer, in seconds.
    timeout = 5

    def do_GET(self) -> None:  # noqa: N802
        if self.path != "/livez":
            super().do_GET()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"live")


class _Server(ThreadingHTTPServer):
    # It ends when it has sent what it began to send.
    daemon_threads = False

    def __init__(self, listener: socket.socket, registry: CollectorRegistry) -> None:
        super().__init__(("", 0), _Handler.factory(registry), bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, _request: object, _client_address: object) -> None:
        if isinstance(error := sys.exception(), ConnectionError):
            logger.warning("a scraper went away: %s", error)
        else:
            logger.exception("a scrape failed")


def on_starting(settings: ServerSettings, _arbiter: Arbiter) -> None:
    """Open the port before there are workers, or end the start with one line."""
    global _listener
    if not (port := settings.metrics_port):
        return
    try:
        if socket.has_dualstack_ipv6():
            _listener = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        else:
            _listener = socket.create_server(("", port))
    except OSError as error:
        sys.exit(f"METRICS_PORT is {port}: {os.strerror(error.errno or 0)}")
    # Every worker is told of a connection, and all but the first find it taken.
    _listener.setblocking(False)


def post_worker_init(settings: ServerSettings, _worker: Worker) -> None:
    """Answer for all workers, in a thread of a worker.

    A thread from before would hang where the worker makes threads something else, as gevent's does.
    """
    global _server
    if _listener:
        _build.labels(settings.version, settings.revision).set(1)
        registry = CollectorRegistry()
        registry.register(WorkersCollector())
        registry.register(ProcessesCollector())
        _server = _Server(_listener, registry)
        Thread(target=_server.serve_forever, name="metrics", daemon=True).start()


def worker_exit(_arbiter: Arbiter, _worker: Worker) -> None:
    """Leave no scrape of a worker half answered."""
    if _server:
        _server.shutdown()
        _server.server_close()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Add the counts of a worker that has ended to those of all that ended, and free its files."""
    with _locked(fcntl.LOCK_EX):
        mark_process_dead(worker.pid)
        for kind in ("counter", "histogram", "summary"):
            file = _folder / f"{kind}_{worker.pid}.db"
            if file.exists():
                ended = MmapedDict(str(_folder / f"{kind}_ended.db"))
                for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                    ended.write_value(key, ended.read_value(key)[0] + value, 0.0)
                ended.close()
                file.unlink()


@atexit.register
def _remove_folder() -> None:
    if os.getpid() == _master:
        shutil.rmtree(_folder, ignore_errors=True)
