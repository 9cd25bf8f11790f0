"""The log: one line an event on standard output, JSON for machines or text for people."""

import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta

import msgspec
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response

from {{ cookiecutter.__package_name }} import metrics
from {{ cookiecutter.__package_name }}.context import current
from {{ cookiecutter.__package_name }}.settings import Settings

# What a probe asks every few seconds would hide what users ask.
QUIET_ROUTES = {"/livez", "/readyz"}
_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}


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


def is_json(settings: Settings) -> bool:
    """Tell whether lines are JSON; unless set otherwise they are, but on a terminal."""
    return settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )


def configure(settings: Settings) -> None:
    """Send the lines of all loggers of this process to standard output."""
    if is_json(settings):
        formatter = JsonFormatter()
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


class GunicornLogger(Logger):
    """Sends gunicorn's lines where all lines go, and writes a line and metrics for a request."""

    def setup(self, cfg: Config) -> None:
        """Leave levels and handlers to `configure`."""
        self.cfg = cfg
        self._json = is_json(Settings.from_environment())
        for logger in (self.error_log, self.access_log):
            logger.propagate = True

    def access(
        self,
        resp: Response,
        _req: Request,
        environ: dict[str, str],
        request_time: timedelta,
    ) -> None:
        """Count and log a request that has been answered.

        The line has no query string, in which there may be secrets. It does not go through
        `logging`, which would take more time than all else that is done for a small request.
        """
        seconds = request_time.seconds + request_time.microseconds / 1e6
        status = int(resp.status.split(None, 1)[0]) if isinstance(resp.status, str) else resp.status
        method = environ["REQUEST_METHOD"]
        request = current.get()
        current.set(None)
        route = request.route if request else ""
        metrics.observe(method, route, status, seconds)
        if route in QUIET_ROUTES:
            return
        path = environ["RAW_URI"].partition("?")[0]
        if not self._json:
            self.access_log.info("%s %s %s %.1f ms", method, path, status, seconds * 1000)
            return
        line = {
            "time": datetime.now(UTC),
            "level": "info",
            "logger": "gunicorn.access",
            "message": f"{method} {path} {status}",
            "request_id": request.request_id if request else None,
            "trace_id": request.trace_id if request else None,
            "method": method,
            "path": path,
            "route": route,
            "status": status,
            "bytes": resp.sent,
            "duration": seconds,
            "client": environ["REMOTE_ADDR"],
            "forwarded_for": environ.get("HTTP_X_FORWARDED_FOR"),
        }
        # One write a line: the lines of several processes do not mix.
        os.write(sys.stdout.fileno(), msgspec.json.encode(line) + b"\n")
