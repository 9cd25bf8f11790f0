"""How gunicorn serves the application; see https://gunicorn.org/reference/settings/."""

import logging
import os
import sys
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from {{ cookiecutter.__package_name }} import capacity, health, logs, metrics
from {{ cookiecutter.__package_name }}.settings import SettingError, Settings

try:
    settings = Settings.from_environment()
except SettingError as error:
    sys.exit(str(error))
logs.configure(settings)

wsgi_app = "{{ cookiecutter.__package_name }}.app:serve()"
bind = f"0.0.0.0:{settings.port}"

# The lines of gunicorn go where configure() sent all lines.
logger_class = "{{ cookiecutter.__package_name }}.logs.GunicornLogger"
loglevel = settings.log_level

workers, reason = capacity.plan(settings.web_concurrency)
logging.getLogger(capacity.__name__).info(reason)
worker_class = "{{ cookiecutter.__package_name }}.worker.Worker"
{%- if cookiecutter.interface == "wsgi" %}

# They wait for databases and other services at the same time, and answer the probes while others
# wait. More of them would only compete for the one interpreter of their process.
threads = 8
{%- endif %}

# The workers share the memory of what was imported before they were forked.
preload_app = not settings.reload
reload = settings.reload

# A worker is replaced after so many requests, give or take a fifth, so that all do not go at once:
# what leaks, leaks for minutes under full load, or days under little.
max_requests = 100_000
max_requests_jitter = 20_000

# Every worker touches its heartbeat file once a second: in memory, where a slow disk cannot make
# the worker look dead, and which is writable when the root file system is not.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None

# The socket of gunicornc would need a writable home directory.
control_socket_disable = True

# All that happens between SIGTERM and the end takes 25 s: 5 s less than the stop_grace_period of
# compose.yaml and than the 30 s of Kubernetes, so that gunicorn ends by itself and is not killed.
graceful_timeout = 25 - settings.drain_seconds

# More than the 60 s for which load balancers commonly keep an idle connection, so that they
# close it first and never send a request into a connection that is being closed.
keepalive = 75

# The X-Forwarded-* headers of a proxy are believed if its address is in the variable
# FORWARDED_ALLOW_IPS, which gunicorn reads itself; only the loopback's are unless it is set.

# A request line, and each of 100 header fields, within the 8 KiB that proxies commonly pass on.
# max_body_bytes in settings.py limits the body.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190


def on_starting(_server: Arbiter) -> None:
    """Open the port for metrics, before there are workers."""
    try:
        metrics.start(settings, worker_tmp_dir)
    except OSError as error:
        sys.exit(f"METRICS_PORT is {settings.metrics_port}: {os.strerror(error.errno)}")


def when_ready(_server: Arbiter) -> None:
    """Make SIGTERM begin the end: not ready at once, and stopped after `drain_seconds`."""
    health.drain_on_sigterm(settings.drain_seconds)


def pre_fork(_server: Arbiter, worker: Worker) -> None:
    """Give a worker a number, and let no signal to stop be lost on it."""
    metrics.pre_fork(worker)
    health.hold_stop()


def post_fork(_server: Arbiter, worker: Worker) -> None:
    """Answer for metrics in every worker."""
    metrics.post_fork(worker, settings)


def worker_exit(_server: Arbiter, _worker: Worker) -> None:
    """Leave no answer of a worker half sent."""
    metrics.worker_exit()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Free the worker's number."""
    metrics.child_exit(worker)


def on_exit(_server: Arbiter) -> None:
    """Remove what metrics kept in memory."""
    metrics.stop()
