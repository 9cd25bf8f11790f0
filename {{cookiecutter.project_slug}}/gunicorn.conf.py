"""How gunicorn serves the application; see https://gunicorn.org/reference/settings/."""

import logging
import sys
{%- if cookiecutter.interface == "wsgi" %}
import threading
{%- endif %}
from functools import partial
from importlib import import_module
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from {{ cookiecutter.__package_name }}.serving import (
    capacity,
{%- if cookiecutter.interface == "wsgi" %}
    interface,
{%- endif %}
    listening,
    logs,
    metrics,
    stopping,
)
from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings, SettingError
from {{ cookiecutter.__package_name }}.settings import Settings

try:
    settings = Settings.from_environment()
except SettingError as error:
    logs.configure(ServerSettings())
    logging.getLogger().critical(error)
    sys.exit(1)
logs.configure(settings)

wsgi_app = "{{ cookiecutter.__package_name }}.app:serve()"
bind = f"0.0.0.0:{settings.port}"

# The lines of gunicorn go where configure() sent all lines.
logger_class = "{{ cookiecutter.__package_name }}.serving.access.GunicornLogger"
loglevel = settings.log_level
accesslog = "-" if settings.access_log else None

workers, reason = capacity.plan(settings.web_concurrency)
logging.getLogger(capacity.__name__).info(reason)
worker_class = "{{ cookiecutter.__package_name }}.serving.worker.Worker"
{%- if cookiecutter.interface == "wsgi" %}

# Requests that compute compete for the one interpreter of their process: more threads answer no
# more of them, and later. Requests that wait for a database wait side by side.
threads = settings.threads
# As much as threads have with glibc: with musl's less, JSON that is nested deeply ends the process.
threading.stack_size(8 * 2**20)
{%- endif %}

# The workers share the memory of what is imported before they are forked. Each creates its own
# application, so what that starts, such as a thread or a pool of connections, works in it.
try:
    import_module("{{ cookiecutter.__package_name }}.app")
except Exception:
    logging.getLogger().critical("the application cannot be imported", exc_info=True)
    sys.exit(1)

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
# max_body_bytes limits the body.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190


def when_ready(arbiter: Arbiter) -> None:
    """Complete the listeners, and announce each stop before it begins."""
    listening.when_ready(settings, arbiter)
    stopping.when_ready(settings, arbiter)


def post_worker_init(worker: Worker) -> None:
    """Complete a worker that has its application."""
    metrics.post_worker_init(settings, worker)
    stopping.post_worker_init(worker)


pre_fork = stopping.pre_fork
{%- if cookiecutter.interface == "wsgi" %}
pre_request = interface.pre_request
{%- endif %}

# The metrics of all workers.
on_starting = partial(metrics.on_starting, settings)
worker_exit = metrics.worker_exit
child_exit = metrics.child_exit
