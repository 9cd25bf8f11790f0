"""What is counted and logged of a request that has been answered."""

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from msgspec import json

from . import metrics
from .context import current, in_flight
from .logs import JsonFormatter

# What a probe asks every few seconds would hide what users ask.
QUIET_ROUTES = {"/livez", "/readyz"}


class GunicornLogger(Logger):
    """Sends gunicorn's lines where all lines go, and logs requests, whatever the worker class."""

    @property
    def access_log_enabled(self) -> bool:
        """Return True: requests are always counted."""
        return True

    def setup(self, cfg: Config) -> None:
        """Leave levels and handlers to `logs.configure`."""
        self.cfg = cfg
        self.error_log.propagate = self.access_log.propagate = True
        (handler,) = logging.getLogger().handlers
        self._is_json = isinstance(handler.formatter, JsonFormatter)
        if not cfg.accesslog:
            self.access_log.setLevel(logging.CRITICAL)
        self._is_quiet = not self.access_log.isEnabledFor(logging.INFO)

    def access(
        self,
        resp: Response,
        _req: Request,
        environ: MutableMapping[str, Any],
        _request_time: timedelta,
    ) -> None:
        """Count and log a request that the application has answered.

        Its query may hold secrets and is not logged. The line does not go through `logging`, which
        would take more time than all else that is done for a small request.
        """
        request = current.get()
        if not request:
            return  # malformed, which gunicorn logs, or its client has gone
        current.set(None)
        in_flight.discard(request)
        # Unlike gunicorn's, this clock cannot be set while a request is answered.
        seconds = perf_counter() - request.started
        method, path = environ["REQUEST_METHOD"], environ["RAW_URI"].partition("?")[0]
        status = int(str(resp.status).partition(" ")[0])
        metrics.observe(method, request.scheme, request.route, status, seconds)
        if self._is_quiet or request.route in QUIET_ROUTES:
            return
        message = f"{method} {path} {status}"
        if not self._is_json:
            self.access_log.info("%s %.1f ms", message, seconds * 1000)
            return
        line = {
            "time": datetime.now(UTC),
            "level": "info",
            "logger": "gunicorn.access",
            "message": message,
            "request_id": request.request_id,
            "trace_id": request.trace_id,
            "method": method,
            "path": path,
            "route": request.route,
            "status": status,
            "bytes": resp.sent,
            "duration": seconds,
            "client": environ["REMOTE_ADDR"],
            "forwarded_for": environ.get("HTTP_X_FORWARDED_FOR", ""),
        }
        # One write a line: the lines of several processes do not mix.
        os.write(sys.stdout.fileno(), json.encode(line) + b"\n")
