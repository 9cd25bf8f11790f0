"""The log: one line an event on standard output, JSON for machines or text for people."""

import json
import logging
import os
import sys
from datetime import UTC, datetime{{ ", timedelta" if cookiecutter.interface == "wsgi" }}

import msgspec
from gunicorn.config import Config
from gunicorn.glogging import Logger
{%- if cookiecutter.interface == "wsgi" %}
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
{%- endif %}

from {{ cookiecutter.__package_name }} import metrics
from {{ cookiecutter.__package_name }}.context import RequestContext, current
from {{ cookiecutter.__package_name }}.settings import Settings

# What a probe asks every few seconds would hide what users ask.
QUIET_ROUTES = {"/livez", "/readyz"}
_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}

_is_json = True


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the fields of its `extra` argument."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line for record; an exception is a member of it, with its traceback."""
        line = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := current.get():
            line |= {"request_id": request.request_id, "trace_id": request.trace_id}
        line |= {name: record.__dict__[name] for name in record.__dict__.keys() - _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"), default=str)


def configure(settings: Settings) -> None:
    """Send the lines of all loggers of this process to standard output.

    Lines are JSON unless set otherwise, but on a terminal.
    """
    global _is_json
    _is_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )
    if _is_json:
        formatter = JsonFormatter()
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def access(
    request: RequestContext | None,
    method: str,
    path: str,
    status: int,
    sent: int,
    seconds: float,
    client: str,
    forwarded_for: str,
) -> None:
    """Count and log a request that has been answered.

    Its line does not go through `logging`, which would take more time than all else that is done
    for a small request.
    """
    route = request.route if request else ""
    metrics.observe(method, route, status, seconds)
    if route in QUIET_ROUTES:
        return
    message = f"{method} {path} {status}"
    if not _is_json:
        logging.getLogger("gunicorn.access").info("%s %.1f ms", message, seconds * 1000)
        return
    line = {
        "time": datetime.now(UTC),
        "level": "info",
        "logger": "gunicorn.access",
        "message": message,
        "request_id": request and request.request_id,
        "trace_id": request and request.trace_id,
        "method": method,
        "path": path,
        "route": route,
        "status": status,
        "bytes": sent,
        "duration": seconds,
        "client": client,
        "forwarded_for": forwarded_for,
    }
    # One write a line: the lines of several processes do not mix.
    os.write(1, msgspec.json.encode(line) + b"\n")


class GunicornLogger(Logger):
    """Sends gunicorn's lines where all lines go{{ ", and logs the requests" if cookiecutter.interface == "wsgi" }}."""
{%- if cookiecutter.interface == "wsgi" %}

    access_log_enabled = True
{%- endif %}

    def setup(self, cfg: Config) -> None:
        """Leave levels and handlers to `configure`."""
        self.cfg = cfg
        self.error_log.propagate = True
{%- if cookiecutter.interface == "wsgi" %}

    def access(
        self,
        resp: Response,
        _req: Request,
        environ: dict[str, str],
        request_time: timedelta,
    ) -> None:
        """Log a request that has been answered, but not its query, which may hold secrets."""
        request = current.get()
        current.set(None)
        access(
            request,
            environ["REQUEST_METHOD"],
            environ["RAW_URI"].partition("?")[0],
            int(resp.status.split(None, 1)[0]),
            resp.sent,
            request_time.total_seconds(),
            environ["REMOTE_ADDR"],
            environ.get("HTTP_X_FORWARDED_FOR", ""),
        )
{%- endif %}
