"""gunicorn serves the application as gunicorn.conf.py says."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Ask until there is an answer, for ten seconds; return the status and the text."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Server:
    """gunicorn, with two workers, as it runs."""

    def __init__(self, **variables: str) -> None:
        """Start it, with variables added to the environment."""
        self.port, self.metrics_port = free_port(), free_port()
        ports = {"PORT": str(self.port), "METRICS_PORT": str(self.metrics_port)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": "src", "WEB_CONCURRENCY": "2"} | ports | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self) -> list[str]:
        """Stop it, and return the lines that it wrote; its status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        printed, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, printed
        return printed.splitlines()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(DRAIN_SECONDS="0")
    yield server
    server.process.kill()
    server.process.communicate()


def test_logs_requests_but_no_probes_and_no_queries(server: Server) -> None:
    assert get(server.port, "/?token=secret") == (200, "hi")
    assert get(server.port, "/livez") == (200, "live")
    lines = [json.loads(line) for line in server.stop()]
    assert lines[0]["message"].startswith("workers: 2, as WEB_CONCURRENCY says")
    requests = [line for line in lines if line["logger"] == "gunicorn.access"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("GET", "/", 200)
    ]
    assert requests[0]["bytes"] == 2
    assert requests[0]["duration"] > 0
    assert "secret" not in json.dumps(lines)
    assert not [line for line in lines if line["level"] not in {"debug", "info"}]


def test_counts_requests_of_all_workers(server: Server) -> None:
    for _ in range(20):
        get(server.port, "/")
    labels = '{http_request_method="GET",http_response_status_class="2xx",http_route="/"}'
    expected = (
        f"http_server_request_duration_seconds_count{labels} 20.0",
        'process_resident_memory_bytes{pid="' + str(server.process.pid),
        "{{ cookiecutter.__package_name }}_build_info{",
    )
    deadline = time.monotonic() + 5
    # A request is counted when it has been answered, so the last one a moment later.
    while not all(line in get(server.metrics_port, "/metrics")[1] for line in expected):
        assert time.monotonic() < deadline, get(server.metrics_port, "/metrics")


def test_is_not_ready_once_it_is_to_stop_but_answers() -> None:
    server = Server(DRAIN_SECONDS="1")
    assert get(server.port, "/readyz") == (200, "ready")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert get(server.port, "/readyz") == (503, "draining")
    assert get(server.port, "/") == (200, "hi")
    server.process.communicate(timeout=10)
    assert server.process.returncode == 0


def test_does_not_start_with_a_wrong_setting() -> None:
    server = Server(PORT="http")
    printed, _ = server.process.communicate(timeout=10)
    assert server.process.returncode != 0
    assert printed == "PORT is 'http': it must be a number from 1 to 65535\n"


def test_does_not_start_without_its_metrics_port(server: Server) -> None:
    get(server.metrics_port, "/metrics")
    other = Server(METRICS_PORT=str(server.metrics_port))
    printed, _ = other.process.communicate(timeout=10)
    assert other.process.returncode != 0
    # in the words of the C library
    reason = os.strerror(errno.EADDRINUSE)
    assert printed.endswith(f"METRICS_PORT is {server.metrics_port}: {reason}\n")
