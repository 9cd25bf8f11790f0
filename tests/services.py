"""A service that runs in its image, with routes that only the tests have."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from images import Container, docker, running
from support import Bake

# Added to the package as the module probe. GUNICORN_CMD_ARGS cannot name an application, so
# containers that need it run `gunicorn PACKAGE.probe:serve()`.
PROBE = """
import asyncio
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from tempfile import NamedTemporaryFile

from falcon.asgi import SSEvent

from {package} import app
from {package}.serving import worker

# what only the worker of wsgi has
worker.READ_SECONDS = int(os.environ.get("READ_SECONDS", "30"))
kept = []


class Probe:
    {async_}def on_get_slow(self, req, resp):
        {sleep}(float(req.get_param("seconds")))
        resp.text = "slow"

    {async_}def on_get_log(self, req, resp):
        logging.getLogger("{package}.probe").info("said %s", "hi", extra={{"guest": "Ada"}})
        logging.getLogger("library").warning("two\\nlines")
        warnings.warn("deprecated", stacklevel=1)

    {async_}def on_get_error(self, req, resp):
        raise RuntimeError("a secret\\nof two lines")

    {async_}def on_get_eat(self, req, resp):
        kept.append(b"x" * (int(req.get_param("mib")) << 20))

    {async_}def on_get_save(self, req, resp):
        with NamedTemporaryFile(delete=False) as file:
            file.write(b"x" * (int(req.get_param("mib")) << 20))

    {async_}def on_get_parts(self, req, resp):
        {async_}def parts():
            for part in (b"one", b"", b"two"):
                yield part
        resp.stream = parts()
        resp.set_header("X-Probe", "parts")

    {async_}def on_head_parts(self, req, resp):
        resp.content_length = 6

    {async_}def on_get_broken(self, req, resp):
        {async_}def parts():
            yield b"one"
            raise RuntimeError("broken")
        resp.stream = parts()

    {async_}def on_get_file(self, req, resp):
        path = Path(__file__)
        if "{sleep}" == "time.sleep":
            resp.set_stream(path.open("rb"), path.stat().st_size)
        else:
            resp.data = path.read_bytes()

    {async_}def on_post_read(self, req, resp):
        length = 0
        while part := {await_}req.{stream}.read(65536):
            length += len(part)
        resp.text = str(length)

    {async_}def on_post_ignore(self, req, resp):
        resp.text = "ignored"

    {async_}def on_get_exit(self, req, resp):
        sys.exit(3)

    {async_}def on_get_large(self, req, resp):
        resp.data = b"x" * (50 << 20)

    async def on_websocket(self, req, ws):
        await ws.accept()
        while True:
            await ws.send_text(await ws.receive_text())

    {async_}def on_get_events(self, req, resp):
        async def events():
            while True:
                yield SSEvent(text="tick")
                await asyncio.sleep(0.2)
        resp.sse = events()

    {async_}def on_get_where(self, req, resp):
        resp.media = [req.root_path, req.path]

    {async_}def on_get_modules(self, req, resp):
        resp.media = sorted(sys.modules)


def serve():
    create_app = app.create_app

    def create_app_with_probes(settings):
        service = create_app(settings)
        for name in dir(Probe):
            if name.startswith(("on_get_", "on_post_")):
                suffix = name.split("_", 2)[2]
                service.add_route(f"/probe/{{suffix}}", Probe(), suffix=suffix)
        if "{await_}":
            service.add_route("/probe/websocket", Probe())
        return service

    app.create_app = create_app_with_probes
    return app.serve()
"""


def add_probe(baked: Bake) -> None:
    """Add the routes to a service, before its image is built."""
    package = baked.answers["__package_name"]
    is_asgi = baked.answers["interface"] == "asgi"
    code = PROBE.format(
        package=package,
        async_="async " if is_asgi else "",
        await_="await " if is_asgi else "",
        stream="stream" if is_asgi else "bounded_stream",
        sleep="await asyncio.sleep" if is_asgi else "time.sleep",
    )
    (baked.path / "src" / package / "probe.py").write_text(code)


@dataclass(frozen=True)
class Running(Container):
    """A service whose container runs."""

    host: str
    port: int = 8000

    def connect(self, timeout: float = 20) -> socket.socket:
        """Connect to its port."""
        return socket.create_connection((self.host, self.port), timeout)

    def answers(self) -> bool:
        """Return whether it answers."""
        try:
            return self.ask("/livez")[0].status == 200
        except OSError:
            return False

    def ask(  # type: ignore[override]  # the request is sent from outside of the container
        self, path: str, method: str = "GET", *, port: int = 0, body: bytes = b"", **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """Send a request, and return the response and its body; in header names, _ stands for -."""
        connection = HTTPConnection(self.host, port or self.port, timeout=20)
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            # a service that refuses a body may answer and close before all of it is sent
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body or None, fields)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def send(self, data: bytes) -> bytes:
        """Send bytes on a new connection, and return everything received until it ends."""
        with self.connect() as connection:
            connection.sendall(data)
            received = b""
            with suppress(ConnectionResetError):
                while data := connection.recv(65536):
                    received += data
            return received

    def metrics(self) -> dict[str, float]:
        """Return the values of its metrics, by name and labels."""
        try:
            text = self.ask("/metrics", port=9090)[1].decode()
        except ConnectionError:  # the worker that was to answer has ended
            text = self.ask("/metrics", port=9090)[1].decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    def cpu_seconds(self) -> list[float]:
        """Return the CPU time of each of its processes."""
        name = "process_cpu_seconds_total{"
        return [value for series, value in self.metrics().items() if series.startswith(name)]

    def requests(self, route: str) -> float:
        """Return the number of requests that its metrics count for a route."""
        prefix = "http_server_request_duration_seconds_count{"
        return sum(
            value
            for series, value in self.metrics().items()
            if series.startswith(prefix) and f'http_route="{route}"' in series
        )

    def lines(self, **members: object) -> list[dict[str, Any]]:
        """Return the lines of its log that have these members; each line is a JSON object."""
        lines = [json.loads(line) for line in self.logs().splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return [line for line in lines if members.items() <= line.items()]

    def wait_for(self, **members: object) -> dict[str, Any]:
        """Wait for a line of its log that has these members, and return it."""
        deadline = time.monotonic() + 10
        while not (found := self.lines(**members)):
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)
        return found[-1]

    def workers(self, number: int = 0) -> list[int]:
        """Return the process IDs of its workers on the engine's host, once there are so many."""
        master = int(self.inspect("{{.State.Pid}}"))
        deadline = time.monotonic() + 10
        while True:
            rows = docker("top", self.id, "-eo", "pid,ppid").splitlines()[1:]
            processes = [tuple(map(int, row.split())) for row in rows]
            workers = [pid for pid, parent in processes if parent == master]
            if len(workers) >= number:
                return workers
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)


@dataclass(frozen=True)
class Service:
    """A service whose image is built."""

    baked: Bake
    image: str

    @property
    def package(self) -> str:
        """Name of its package."""
        return self.baked.answers["__package_name"]

    @property
    def is_asgi(self) -> bool:
        """Whether its interface is ASGI."""
        return self.baked.answers["interface"] == "asgi"

    def fail(self, *options: str, **environment: str) -> tuple[int, str]:
        """Run it until it ends, and return its status and what it wrote to standard output."""
        variables = (f"--env={name}={value}" for name, value in environment.items())
        result = subprocess.run(
            ["docker", "run", "--rm", "--read-only", *options, *variables, self.image],
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        return result.returncode, result.stdout

    @contextmanager
    def start(
        self, *options: str, command: Sequence[str] = (), probe: bool = True, **environment: str
    ) -> Iterator[Running]:
        """Run it while the context lasts, hardened, with variables in its environment."""
        variables = {"DRAIN_SECONDS": "0"} | environment
        options = (*(f"--env={name}={value}" for name, value in variables.items()), *options)
        if probe and not command:
            command = ("gunicorn", f"{self.package}.probe:serve()")
        with running(
            self.image, "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", *options, command=command
        ) as container:
            # it has none of its own with --network=host
            host = container.inspect("{{.NetworkSettings.IPAddress}}") or "127.0.0.1"
            yield Running(container.id, host)

    @contextmanager
    def run(
        self, *options: str, command: Sequence[str] = (), probe: bool = True, **environment: str
    ) -> Iterator[Running]:
        """Run it as `start` does, once it answers."""
        with self.start(*options, command=command, probe=probe, **environment) as running:
            service = replace(running, port=int(environment.get("PORT", 8000)))
            deadline = time.monotonic() + 20
            while not service.answers():
                assert time.monotonic() < deadline, service.logs()
                time.sleep(0.1)
            yield service
