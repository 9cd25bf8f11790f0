"""The metrics of all workers are on a port of their own."""

import errno
import os
import time
from collections.abc import Callable
from typing import Any

from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings


def test_counts_requests_of_all_workers(start: Callable[..., Any]) -> None:
    server = start(DRAIN_SECONDS="0")
    for _ in range(20):
        server.get("/")
    request = 'http_request_method="GET",'
    answer = 'http_response_status_code="200",http_route="/",'
    scheme = 'url_scheme="http"'
    expected = (
        "http_server_request_duration_seconds_count{" + request + answer + scheme + "} 20.0",
        "http_server_active_requests{" + request + scheme + "} 0.0",
        'process_resident_memory_bytes{pid="' + str(server.process.pid),
        "{{ cookiecutter.__package_name }}_build_info{",
    )
    deadline = time.monotonic() + 5
    # A request is counted when it has been answered, so the last one a moment later.
    while not all(line in server.get("/metrics", "METRICS_PORT")[1] for line in expected):
        assert time.monotonic() < deadline, server.get("/metrics", "METRICS_PORT")


def test_does_not_start_without_its_port(start: Callable[..., Any]) -> None:
    server = start()
    server.get("/metrics", "METRICS_PORT")
    port = server.ports["METRICS_PORT"]
    other = start(METRICS_PORT=str(port))
    # in the words of the C library
    reason = os.strerror(errno.EADDRINUSE)
    assert other.wait().endswith(f"METRICS_PORT is {port}: {reason}\n")
    assert other.process.returncode != 0


def test_ignores_the_address_of_a_service_called_metrics() -> None:
    for value in ("tcp://10.96.0.5:9090", ""):
        assert ServerSettings.from_environment({"METRICS_PORT": value}).metrics_port == 9090
