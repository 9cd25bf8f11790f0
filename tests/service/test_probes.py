"""A probe tells the truth, whatever the service is busy with and wherever it listens."""

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from images import docker
from services import Running, Service

pytestmark = pytest.mark.image


def is_healthy(running: Running) -> bool:
    """Return whether the health check of the image passes in a container."""
    test = json.loads(running.inspect("{{json .Config.Healthcheck.Test}}"))
    command = ["docker", "exec", running.id, *test[1:]]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_liveness_does_not_depend_on_free_threads(service: Service) -> None:
    with service.run(WEB_CONCURRENCY="1") as running:
        threads = [
            threading.Thread(target=running.ask, args=["/probe/slow?seconds=2"]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        began = time.monotonic()
        response, body = running.ask("/livez", port=9090)
        assert (response.status, body) == (200, b"live")
        assert is_healthy(running)
        assert time.monotonic() - began < 1.5
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "variables",
    [
        {"PORT": "", "METRICS_PORT": ""},
        {"PORT": "8080", "METRICS_PORT": "0"},
        {"PORT": "tcp://10.96.0.5:8000"},
        {"METRICS_PORT": "9191"},
        {"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:5000"},
        {"GUNICORN_CMD_ARGS": "--bind=unix:/tmp/socket"},
        {"GUNICORN_CMD_ARGS": "--bind=127.0.0.1:8000 --bind=[::1]:8000"},
        {"SCRIPT_NAME": "/api/v1"},
    ],
)
def test_is_healthy_wherever_it_listens(service: Service, variables: dict[str, str]) -> None:
    with service.start(probe=False, **variables) as running:
        deadline = time.monotonic() + 20
        while not is_healthy(running):
            assert time.monotonic() < deadline, running.logs()
            time.sleep(0.2)
        assert not running.lines(level="error")
        assert not running.lines(level="warning")


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_answers_with_and_without_its_prefix(service: Service, prefix: str) -> None:
    with service.run(SCRIPT_NAME="/api/v1", WEB_CONCURRENCY="1") as running:
        for path, expected in (("/", b"hi"), ("/livez", b"live"), ("/readyz", b"ready")):
            response, body = running.ask(prefix + path)
            assert (response.status, body) == (200, expected)
        assert running.ask(f"{prefix}/nowhere")[0].status == 404
        assert json.loads(running.ask(f"{prefix}/probe/where")[1]) == [prefix, "/probe/where"]
        if prefix:
            assert running.ask(prefix)[1] == b"hi"
            assert running.ask(f"{prefix}x/livez")[0].status == 404


def test_is_healthy_with_tls(service: Service, tools: str, tmp_path: Path) -> None:
    subject = ("-subj", "/CN=localhost", "-keyout", "/tls/key.pem", "-out", "/tls/cert.pem")
    volume = f"--volume={tmp_path}:/tls"
    docker("run", "--rm", volume, tools, "openssl", "req", "-x509", "-nodes", *subject)
    tmp_path.chmod(0o755)
    (tmp_path / "key.pem").chmod(0o644)
    arguments = {"GUNICORN_CMD_ARGS": "--certfile=/tls/cert.pem --keyfile=/tls/key.pem"}
    with service.start(volume, probe=False, **arguments) as running:
        deadline = time.monotonic() + 20
        while not is_healthy(running):
            assert time.monotonic() < deadline, running.logs()
            time.sleep(0.2)
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with (
            running.connect() as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert secure.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert not running.lines(level="error")


def test_a_scraper_that_goes_away_is_no_error(service: Service) -> None:
    with service.run(WEB_CONCURRENCY="1") as running:
        for _ in range(5):
            with socket.create_connection((running.host, 9090)) as connection:
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                # its end is a reset
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        running.wait_for(level="warning", logger=f"{service.package}.serving.metrics")
        assert not running.lines(level="error")
