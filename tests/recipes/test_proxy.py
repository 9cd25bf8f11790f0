"""nginx stands before two instances of the service, as docs/recipes/proxy.md has it."""

import json
import re
import shutil
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from images import docker, running
from pages import RECIPES, Recipe, steps
from support import free_port

pytestmark = pytest.mark.image

# Of the series that the page names, but Debian's, and as that image runs it.
NGINX = "nginx:1.30-alpine"
NGINX_DOCKERFILE = """
FROM tools:latest
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""

# The service, with a route that tells what it knows of a request.
TOLD = """
import asyncio
import os

from falcon.asgi import SSEvent

from {package}.app import create_app
from {package}.settings import Settings


class Told:
    {async_}def on_get(self, req, resp):
        resp.media = {{
            "uri": req.uri,
            "forwarded": f"{{req.forwarded_scheme}}://{{req.forwarded_host}}",
            "client": req.access_route[0],
            "prefix": req.root_path,
            "version": os.environ["RELEASE"],
        }}

    {async_}def on_get_large(self, req, resp):
        resp.data = b"x" * 900_000

    {async_}def on_get_events(self, req, resp):
        async def events():
            yield SSEvent(text="tick")
            await asyncio.sleep(60)
        resp.set_header("X-Accel-Buffering", "no")
        resp.sse = events()

    async def on_websocket(self, req, ws):
        await ws.accept()
        await ws.send_text(await ws.receive_text())


def serve():
    service = create_app(Settings.from_environment())
    told = Told()
    for suffix in ("large", "events"):
        service.add_route(f"/told/{{suffix}}", told, suffix=suffix)
    service.add_route("/told", told)
    return service
"""
TOLD_DOCKERFILE = """
FROM {image}
COPY --chmod=644 <<'END' /app/src/{package}/told.py
{code}
END
ENV RELEASE={version}
CMD ["gunicorn", "{package}.told:serve()"]
"""

POST = (
    b"POST /greetings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 9000\r\n\r\n{"
)


@dataclass(frozen=True)
class Front:
    """What compose runs of the page, and nginx's ports on this machine."""

    recipe: Recipe
    http: int
    https: int
    certificate: Path

    @property
    def tls(self) -> ssl.SSLContext:
        """What trusts the page's certificate."""
        return ssl.create_default_context(cafile=self.certificate)

    def compose(self, *arguments: str, version: int = 1, **environment: str) -> str:
        """Run `docker compose` for a version of the service."""
        recipe = replace(self.recipe, image=f"{self.recipe.image.partition(':')[0]}:{version}")
        environment |= {"HTTP_PORT": str(self.http), "HTTPS_PORT": str(self.https)}
        return recipe.compose(*arguments, SCRIPT_NAME="/api", **environment)

    def up(self, *services: str, version: int = 1, **environment: str) -> None:
        """Start it, or what of it is not as it should be."""
        self.compose("up", "--detach", "--wait", *services, version=version, **environment)

    def reload(self, is_new: Callable[[], bool]) -> None:
        """Have nginx read its files anew, and wait until each of its processes shows it."""
        self.compose("exec", "nginx", "nginx", "-t")
        self.compose("exec", "nginx", "nginx", "-s", "reload")
        deadline = time.monotonic() + 20
        while not all(is_new() for _ in range(10)):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def address(self, service: str, of: str = "IPAddress") -> str:
        """Return the address of a container on its network."""
        container = self.compose("ps", "--quiet", service).strip()
        template = f"{{{{range .NetworkSettings.Networks}}}}{{{{.{of}}}}}{{{{end}}}}"
        return docker("inspect", "--format", template, container)

    def logged(self, request_id: str) -> dict[str, Any]:
        """Return the line that the service has logged of a request."""
        logs = self.compose("logs", "--no-log-prefix")
        line = next(line for line in logs.splitlines() if f'"request_id":"{request_id}"' in line)
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """Send a request by HTTPS, and return the response and its body."""
        connection = HTTPSConnection("localhost", self.https, timeout=30, context=self.tls)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body or None, fields)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response, answer

    def told(self, path: str = "/told", **headers: str) -> dict[str, str]:
        """Return what the service knows of a request."""
        response, body = self.ask(path, "GET", b"", **headers)
        assert response.status == 200, body
        found: dict[str, str] = json.loads(body)
        return found

    def connect(self, receive_buffer: int = 0) -> ssl.SSLSocket:
        """Connect to nginx itself, as what publishes its port may have a buffer of its own."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect((self.address("nginx"), 8443))
        return self.tls.wrap_socket(connection, server_hostname="localhost")


def build(recipe: Recipe, tag: str, version: int = 1) -> None:
    """Build the service with the route that tells."""
    is_asgi = recipe.is_asgi
    code = TOLD.format(package=recipe.package, async_="async " if is_asgi else "")
    dockerfile = TOLD_DOCKERFILE.format(
        image=recipe.image, package=recipe.package, code=code, version=version
    )
    docker("build", f"--tag={tag}", "-", typed=dockerfile)


@pytest.fixture(scope="module")
def nginx(tools: str) -> Iterator[None]:
    """Build an image by the name that the page has."""
    docker("build", f"--tag={NGINX}", "-", typed=NGINX_DOCKERFILE)
    yield
    docker("image", "rm", NGINX)


@pytest.fixture(scope="module")
def front(recipe: Recipe, nginx: None) -> Iterator[Front]:
    for version in (1, 2):
        build(recipe, f"{recipe.image.partition(':')[0]}:{version}", version)
    certificate = recipe.baked.path / "nginx" / "cert.pem"
    front = Front(recipe, free_port(), free_port(), certificate)
    try:
        front.up()
        yield front
    finally:
        front.compose("down", "--volumes", "--timeout=0")


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


def test_answers_by_https_alone(front: Front) -> None:
    response, body = front.ask("/")
    assert (response.status, body) == (200, b"hi")
    assert response.headers["Server"] == "nginx"
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    tls = front.tls
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", front.https)) as connection,
        tls.wrap_socket(connection, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
    plain = HTTPConnection("localhost", front.http, timeout=20)
    plain.request("POST", "/a?b=c")
    redirect = plain.getresponse()
    plain.close()
    assert redirect.status == 308
    assert redirect.headers["Location"] == "https://localhost/a?b=c"
    for service in ("falcon-service", "falcon-service-2"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((front.address(service), 8000), 5)


def test_the_service_knows_who_asks_and_how(front: Front) -> None:
    """Whatever the client says of itself."""
    gateway = front.address("nginx", "Gateway")
    told = front.told(
        "/told?a=b",
        X_Request_ID="forged",
        Forwarded="for=192.0.2.1;host=a.example;proto=http",
        X_Forwarded_For="192.0.2.1",
        X_Forwarded_Host="a.example",
        X_Forwarded_Proto="http",
        X_Real_IP="192.0.2.1",
    )
    site = f"https://localhost:{front.https}"
    assert told == {
        "uri": f"{site}/told?a=b",
        "forwarded": site,
        "client": gateway,
        "prefix": "",
        "version": "1",
    }
    assert front.logged("forged")["forwarded_for"] == gateway
    assert not re.search(r"\d", front.logged("forged")["client"])


def test_what_is_for_inside_stays_there(front: Front) -> None:
    for path in ("/livez", "/readyz", "/api/readyz", "/metrics"):
        response, body = front.ask(path)
        assert response.headers["Content-Type"] == "application/problem+json"
        assert (response.status, json.loads(body)["status"]) == (404, 404)


def test_bodies_have_one_limit(front: Front) -> None:
    body = b'{"name": "Ada"}'.ljust(2**20)
    response, answer = front.ask("/greetings", "POST", body, Content_Type="application/json")
    assert (response.status, answer) == (200, b'{"text":"hi Ada"}')
    response, answer = front.ask("/greetings", "POST", body + b" ", X_Request_ID="long")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status, json.loads(answer)["status"]) == (413, 413)
    assert '"long"' not in front.compose("logs", "--no-log-prefix")


def test_no_request_is_lost_while_it_is_replaced(front: Front) -> None:
    results: Counter[object] = Counter()
    stopped = threading.Event()

    def ask(method: str, path: str, body: bytes) -> None:
        connection = HTTPSConnection("localhost", front.https, timeout=30, context=front.tls)
        while not stopped.is_set():
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                results[method, response.status] += 1
            except (OSError, HTTPException) as error:
                results[method, repr(error)] += 1
                connection.close()
        connection.close()

    requests = (("GET", "/", b""), ("POST", "/greetings", b'{"name": "Ada"}')) * 4
    threads = [threading.Thread(target=ask, args=each) for each in requests]
    for thread in threads:
        thread.start()
    try:
        for service in ("falcon-service", "falcon-service-2"):
            front.up(service, version=2)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert set(results) == {("GET", 200), ("POST", 200)}
    assert results.total() > 500
    assert {front.told()["version"] for _ in range(8)} == {"2"}


def test_an_instance_is_asked_as_soon_as_it_is_back(front: Front) -> None:
    """The other one may be replaced the next moment."""
    for service, name in (("falcon-service", "1"), ("falcon-service-2", "2")):
        path = f"/run/falcon-service/{name}"
        front.compose("exec", service, "mv", path, f"{path}-away")
        # nginx is the one that ends idle connections: the service would keep them for longer
        deadline = time.monotonic() + 20
        connected = re.compile(rf" 03 +\d+ {path}$", re.MULTILINE)
        while connected.search(front.compose("exec", "nginx", "cat", "/proc/net/unix")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {front.ask("/")[0].status for _ in range(8)} == {200}
        front.compose("exec", service, "mv", f"{path}-away", path)


def test_a_new_certificate_needs_no_restart(front: Front) -> None:
    page = (RECIPES / "proxy.md").read_text("utf-8")
    (step,) = (step for step in steps(page, front.recipe.baked.answers) if "openssl" in step.text)

    def is_new() -> bool:
        served = ssl.get_server_certificate(("localhost", front.https))
        return served == front.certificate.read_text()

    with front.connect() as kept:
        # what renews it makes new files
        for file in front.certificate.parent.glob("*.pem"):
            file.unlink()
        assert front.recipe.baked.run("bash", "-ec", step.text).returncode == 0
        assert not is_new()
        front.reload(is_new)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_answers_under_its_prefix_and_not_without(front: Front) -> None:
    uri = f"https://localhost:{front.https}/api/told"

    def is_as_told() -> bool:
        told = front.told("/api/told")
        return (told["prefix"], told["uri"]) == ("/api", uri)

    assert is_as_told()
    conf = front.certificate.with_name("nginx.conf")
    text = conf.read_text()
    assert "location / {" in text
    only = "location / { return 404; }\nlocation /api {"
    conf.write_text(text.replace("location / {", only))
    try:
        front.reload(lambda: front.ask("/")[0].status == 404)
        assert is_as_told()
        assert front.ask("/api")[1] == b"hi"
        for path in ("/", "/told", "/apix", "/api/livez"):
            assert front.ask(path)[0].status == 404
    finally:
        conf.write_text(text)
        front.reload(lambda: front.ask("/")[0].status == 200)


def test_slow_clients_wait_in_nginx(front: Front) -> None:
    """The service has gunicorn's own threads, which slow clients would take."""
    arguments = "" if front.recipe.is_asgi else "--worker-class=gthread"
    front.up(WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS=arguments)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(front.connect()).sendall(POST)
            reader = stack.enter_context(front.connect(receive_buffer=4096))
            reader.sendall(b"GET /told/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(10):
            assert front.ask("/")[1] == b"hi"


def test_nginx_on_the_host(recipe: Recipe, nginx: None, tmp_path: Path) -> None:
    """It reaches one instance, of compose.yaml alone, by its published port."""
    name = f"{recipe.image.partition(':')[0]}-host"
    build(recipe, f"{name}:1")
    port, https, http = free_port(), free_port(), free_port()
    folder = shutil.copytree(recipe.baked.path / "nginx", tmp_path / "nginx")
    text = (folder / "nginx.conf").read_text()
    sockets = re.compile(r"server unix:/run/falcon-service/1 (.*)\n.*/2 max_fails=0;")
    text, count = sockets.subn(rf"server 127.0.0.1:{port} \1", text)
    assert count == 1
    text = text.replace("listen 8080", f"listen {http}").replace("listen 8443", f"listen {https}")
    (folder / "nginx.conf").write_text(text)
    front = Front(replace(recipe, image=f"{name}:1"), http, https, folder / "cert.pem")
    alone: dict[str, Any] = {
        "COMPOSE_FILE": "compose.yaml",
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
    }
    options = ("--network=host", "--user=65532:65532", f"--volume={folder}:/etc/nginx:ro")
    try:
        front.up(**alone)
        with running(NGINX, *options):
            deadline = time.monotonic() + 20
            while socket.socket().connect_ex(("localhost", https)):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert front.told(X_Request_ID="before")["uri"].startswith("http://")
            logs = front.compose("logs", "--no-log-prefix", **alone)
            client = re.search(r'"request_id":"before".*"client":"([^"]+)"', logs)
            assert client
            front.up(**alone, FORWARDED_ALLOW_IPS=client[1])
            told = front.told()
            assert told["uri"] == f"https://localhost:{https}/told"
            assert told["client"] == "127.0.0.1"
    finally:
        front.compose("down", "--volumes", "--timeout=0", **alone)


# The last: a test of one interface between the others has all services made once more.
@pytest.mark.parametrize("recipe", ["asgi"], indirect=True)
def test_events_and_messages_arrive_as_they_are_sent(front: Front) -> None:
    request = b"GET /told%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    with front.connect() as connection:
        connection.sendall(request % (b"/events", b""))
        received = b""
        while b"data: tick" not in received:
            received += connection.recv(4096)
    with front.connect() as connection:
        upgrade = b"Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        connection.sendall(request % (b"", upgrade + key) + b"\x81\x82\0\0\0\0hi")
        received = b""
        while b"\x81\x02hi" not in received:
            part = connection.recv(4096)
            assert part, received
            received += part
        assert received.startswith(b"HTTP/1.1 101 ")
