"""The log: one line an event on standard output, JSON for machines or text for people."""

import json
import logging
import sys
from datetime import UTC, datetime

from .context import current
from .settings import ServerSettings

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
        return json.dumps(line, separators=(",", ":"), default=str)


def is_json(settings: ServerSettings) -> bool:
    """Return whether lines are JSON: always on `json`, on `auto` but on a terminal."""
    return settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )


def configure(settings: ServerSettings) -> None:
    """Send the lines of all loggers of this process to standard output."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if is_json(settings) else formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
