"""gunicorn, as it serves the application."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


class Server:
    """gunicorn, with two workers, as it runs."""

    def __init__(self, variables: dict[str, str]) -> None:
        """Start it, with variables added to the environment."""
        self.ports = {"PORT": free_port(), "METRICS_PORT": free_port()}
        ports = {name: str(port) for name, port in self.ports.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": "src", "WEB_CONCURRENCY": "2"} | ports | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str, port: str = "PORT") -> tuple[int, str]:
        """Ask until there is an answer, for ten seconds; return the status and the text."""
        deadline = time.monotonic() + 10
        while True:
            try:
                url = f"http://127.0.0.1:{self.ports[port]}{path}"
                with urlopen(url, timeout=5) as response:
                    return response.status, response.read().decode()
            except HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def wait(self) -> str:
        """Return what it printed, once it has ended."""
        return self.process.communicate(timeout=30)[0]

    def stop(self) -> str:
        """Stop it, and return what it printed; its status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        printed = self.wait()
        assert self.process.returncode == 0, printed
        return printed


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Return the function that starts gunicorn with variables in its environment."""
    servers = []

    def start_server(**variables: str) -> Server:
        servers.append(Server(variables))
        return servers[-1]

    yield start_server
    for server in servers:
        server.process.kill()
        server.wait()
