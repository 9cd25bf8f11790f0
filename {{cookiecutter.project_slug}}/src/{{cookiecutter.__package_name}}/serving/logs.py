"""The log: one line an event on standard output, JSON for machines or text for people."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO

from .context import current
from .settings import ServerSettings

logger = logging.getLogger(__name__)

_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the fields of its `extra` argument."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record; an exception is a member of it, with its traceback."""
        line: dict[str, object] = {
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
        if record.stack_info:
            line["stack"] = record.stack_info
        try:
            return json.dumps(line, allow_nan=False, separators=(",", ":"), default=str)
        except (TypeError, ValueError):  # JSON has no NaN, no circles, and no keys but texts
            texts = {name: value and str(value) for name, value in line.items()}
            return json.dumps(texts, default=str)


class Handler(logging.StreamHandler[TextIO]):
    """Writes lines; `logging` would print the traceback of one that it cannot format."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Log where a line comes from whose arguments do not fit."""
        if record.name == __name__:
            super().handleError(record)  # nothing can be written
        else:
            logger.exception("no line from %s:%d", record.pathname, record.lineno)


def log_uncaught(args: threading.ExceptHookArgs) -> None:
    """Log an error that ends a thread; Python would print it."""
    error = (args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    logger.error("unhandled error in %s", args.thread, exc_info=error)


def is_json(settings: ServerSettings) -> bool:
    """Return whether lines are JSON: always on `json`, on `auto` but on a terminal."""
    return settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )


def configure(settings: ServerSettings) -> None:
    """Send the lines of all loggers of this process to standard output."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    handler = Handler(sys.stdout)
    handler.setFormatter(JsonFormatter() if is_json(settings) else formatter)
    threading.excepthook = log_uncaught
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
