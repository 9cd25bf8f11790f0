"""gunicorn serves the application as gunicorn.conf.py says."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any


def test_logs_requests_but_no_probes_and_no_queries(start: Callable[..., Any]) -> None:
    server = start(DRAIN_SECONDS="0")
    assert server.get("/?token=secret") == (200, "hi")
    assert server.get("/livez") == (200, "live")
    lines = [json.loads(line) for line in server.stop().splitlines()]
    assert lines[0]["message"].startswith("workers: 2, as WEB_CONCURRENCY says")
    requests = [line for line in lines if line["logger"] == "gunicorn.access"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("GET", "/", 200)
    ]
    assert requests[0]["bytes"] == 2
    assert requests[0]["duration"] > 0
    assert "secret" not in json.dumps(lines)
    assert not [line for line in lines if line["level"] not in {"debug", "info"}]


def test_is_not_ready_once_it_is_to_stop_but_answers(start: Callable[..., Any]) -> None:
    server = start(DRAIN_SECONDS="1")
    assert server.get("/readyz") == (200, "ready")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.get("/readyz") == (503, "draining")
    assert server.get("/") == (200, "hi")
    server.wait()
    assert server.process.returncode == 0


def test_does_not_start_with_a_wrong_setting(start: Callable[..., Any]) -> None:
    server = start(PORT="http")
    (line,) = server.wait().splitlines()
    assert json.loads(line)["message"] == "PORT is 'http': it must be a number from 1 to 65535"
    assert server.process.returncode != 0
