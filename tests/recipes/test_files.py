"""Files are kept whole and sent safely, and a page does both in a browser."""

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest
from images import browse, docker
from pages import Recipe
from services import Running
from support import free_port

pytestmark = pytest.mark.image

# Such tests are the last: one between the others has all services made once more.
ASGI = pytest.mark.parametrize("recipe", ["asgi"], indirect=True)
LIMIT = 32 << 20
# More than the kernel holds for a service that reads nothing.
PART = b"x" * (24 << 20)


@pytest.fixture(scope="module")
def running(recipe: Recipe) -> Iterator[Running]:
    """Yield a service with less memory than the bodies that it gets take together."""
    with recipe.run("--memory=128m", probe=False, MAX_BODY_BYTES=str(LIMIT)) as service:
        yield service


def kept(running: Running) -> list[str]:
    """Return the names of all files in the folder, hidden ones too."""
    command = "ls -A /data/files 2>/dev/null || true"
    return docker("exec", running.id, "sh", "-c", command).splitlines()


def put_raw(running: Running, name: str, rest: bytes) -> bytes:
    """Send a PUT whose head ends with `rest`, then no more, and return what is answered."""
    with running.connect() as connection, suppress(ConnectionError):
        connection.sendall(f"PUT /files/{name} HTTP/1.1\r\nHost: a\r\n".encode() + rest)
        with suppress(OSError):  # the service has closed it
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)
    return b""


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


def test_a_file_comes_back_as_it_went(running: Running) -> None:
    sent = os.urandom(20 << 20)
    # more than the memory that its container has
    for number in range(8):
        assert running.ask(f"/files/long{number}", "PUT", body=sent)[0].status == 201
    response, received = running.ask("/files/long7")
    assert (response.status, received == sent) == (200, True)
    response, received = running.ask("/files/long7", "HEAD")
    assert (response.status, response.headers["Content-Length"]) == (200, str(len(sent)))
    ranges = {"bytes=5-9": (5, 10), "bytes=20971519-": (-1, None), "bytes=-3": (-3, None)}
    for field, (begin, end) in ranges.items():
        response, received = running.ask("/files/long7", Range=field)
        assert (response.status, received) == (206, sent[begin:end])
        first = begin % len(sent)
        last = first + len(received) - 1
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(sent)}"
    response, _ = running.ask("/files/long7", Range="bytes=20971520-")
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */20971520")
    assert running.inspect("{{.State.OOMKilled}}") == "false"
    assert not running.lines(level="error")


def test_a_chunked_file_is_kept(running: Running) -> None:
    head = b"PUT /files/chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert running.send(head + body).startswith(b"HTTP/1.1 201 ")
    assert running.ask("/files/chunked")[1] == b"hello"


def test_a_file_is_not_run(running: Running) -> None:
    path = "/files/%C3%9C%20(1).html"
    assert running.ask(path, "PUT", body=b"<script>alert(1)</script>")[0].status == 201
    response, _ = running.ask(path)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_of_many_that_put_a_name_one_does(running: Running) -> None:
    def put(number: int) -> int:
        return running.ask("/files/one", "PUT", body=b"%d" % number * 9)[0].status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == [201] + [409] * 7
    assert len(set(running.ask("/files/one")[1])) == 1


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 9\r\n\r\n",
        b"Content-Length: 9\r\n\r\nbroken",
        b"Content-Length: 30000000\r\n\r\n" + PART,
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nbroken\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1800000\r\n" + PART + b"\r\n5\r\nbr",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nbroken\r\nno\r\n",
    ],
)
def test_what_breaks_off_is_not_kept(running: Running, rest: bytes) -> None:
    answer = put_raw(running, "broken", rest)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    deadline = monotonic() + 20
    while any(name.startswith(".") for name in kept(running)):
        assert monotonic() < deadline
        sleep(0.1)
    assert running.ask("/files/broken")[0].status == 404


def test_a_file_on_its_way_is_hidden(running: Running) -> None:
    with running.connect() as connection:
        head = b"PUT /files/begun HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n"
        connection.sendall(head + PART)
        deadline = monotonic() + 20
        while not (hidden := [name for name in kept(running) if name.startswith(".")]):
            assert monotonic() < deadline
            sleep(0.1)
        assert running.ask(f"/files/{hidden[0]}")[0].status == 404
        names = json.loads(running.ask("/files")[1])
        assert names == sorted(set(kept(running)) - set(hidden))


def test_what_is_too_long_is_not_kept(running: Running) -> None:
    response, _ = running.ask("/files/too-long", "PUT", body=b"x" * (LIMIT + 1))
    assert response.status == 413
    chunks = b"100000\r\n%b\r\n" % (b"x" * 2**20) * 40 + b"0\r\n\r\n"
    answer = put_raw(running, "too-long", b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert not answer or answer.startswith(b"HTTP/1.1 413 ")
    assert running.ask("/files/too-long")[0].status == 404
    # other resources stay as they were
    response, _ = running.ask("/greetings", "POST", body=b" " * (2 << 20))
    assert response.status == 413


def test_a_full_disk_keeps_nothing(recipe: Recipe) -> None:
    disk = "--tmpfs=/data:size=8m,uid=65532"
    with recipe.run(disk, probe=False, MAX_BODY_BYTES=str(LIMIT)) as running:
        response, body = running.ask("/files/long", "PUT", body=b"x" * (20 << 20))
        assert response.status == 507
        assert response.headers["Content-Type"] == "application/problem+json"
        assert b"full" in body
        assert kept(running) == []
        assert running.ask("/files/short", "PUT", body=b"x")[0].status == 201
        assert not running.lines(level="error")


@pytest.mark.parametrize(
    "path",
    [
        "/files/.hidden",
        "/files/..",
        "/files/../etc",
        "/files/%2e%2e%2fetc",
        "/files/%2fetc",
        "/files/a%5Cb",
        "/files/a%00",
        "/files/a%0A",
        "/files/%FF",
        "/files/",
        f"/files/{'a' * 61}",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//app/gunicorn.conf.py",
        "/static/",
    ],
)
def test_no_path_leads_elsewhere(running: Running, path: str) -> None:
    before = kept(running)
    assert running.ask(path, "PUT", body=b"x")[0].status in {400, 404}
    assert running.ask(path)[0].status in {400, 404}
    assert kept(running) == before


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("icon.svg", "image/svg+xml"),
        ("index.html", "text/html"),
        ("script.js", "text/javascript"),
        ("style.css", "text/css"),
    ],
)
def test_the_page_has_headers_of_its_own(running: Running, name: str, kind: str) -> None:
    response, body = running.ask(f"/static/{name}")
    assert (response.status, response.headers["Content-Type"]) == (200, kind)
    assert body
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-cache"
    again, body = running.ask(f"/static/{name}", If_None_Match=response.headers["ETag"])
    assert (again.status, body) == (304, b"")
    missing, _ = running.ask(f"/static/{name}.map")
    assert (missing.status, missing.headers["Cache-Control"]) == (404, "no-store")


@pytest.mark.usefixtures("browser")
def test_the_page_puts_a_file(recipe: Recipe, tmp_path: Path) -> None:
    # as macOS may have it, and one that is refused
    for name in ("a u\N{COMBINING DIAERESIS}.txt", "a & b.txt"):
        (tmp_path / name).write_text("from a browser")
    with recipe.run(probe=False, SCRIPT_NAME="/under") as running:
        url = f"http://{running.host}:{running.port}/under/static/index.html"
        chosen = "input=/out/a u\N{COMBINING DIAERESIS}.txt"
        seen = browse(tmp_path, url, chosen, "output:not(:empty)", "li", "body")
        assert "a ü.txt is kept." in seen.text
        assert seen.text.endswith("\na ü.txt")
        # nothing is missing, or against the policy
        assert seen.console == []
        assert running.ask("/files/a%20%C3%BC.txt")[1] == b"from a browser"
        message = "progress[value='1'] + output:not(:empty)"
        refused = browse(tmp_path, url, "input=/out/a & b.txt", message)
        assert "60 letters and digits" in refused.text


def test_compose_keeps_files_in_its_volume(recipe: Recipe) -> None:
    ports = {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    try:
        # longer than a body of other resources
        for method, body, status in (("PUT", b"x" * (2 << 20), 201), ("GET", b"", 200)):
            recipe.compose("up", "--wait", "--force-recreate", **ports)
            container = recipe.compose("ps", "--quiet", **ports).strip()
            running = Running(container, "127.0.0.1", int(ports["PORT"]))
            assert docker("exec", container, "id", "-u") == "65532"
            response, received = running.ask("/files/a", method, body=body)
            assert response.status == status, received
        assert len(received) == 2 << 20
    finally:
        recipe.compose("down", "--volumes", **ports)


@ASGI
@pytest.mark.usefixtures("browser")
def test_the_page_shows_what_others_put(recipe: Recipe, tmp_path: Path) -> None:
    with recipe.run(probe=False) as running, ThreadPoolExecutor() as pool:
        url = f"http://{running.host}:{running.port}/static/index.html"
        seen = pool.submit(browse, tmp_path, url, "li")
        while not running.lines(path="/files", status=200):
            assert not seen.done()
            sleep(0.2)
        # the page has the list, which is empty
        assert running.ask("/files/theirs", "PUT", body=b"x")[0].status == 201
        assert seen.result().text == "theirs"
        assert seen.result().console == []


@ASGI
def test_events_end_with_the_service(recipe: Recipe) -> None:
    with recipe.run(probe=False) as running, running.connect() as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"data: []\n\n" not in received:
            data = connection.recv(4096)
            assert data, received
            received += data
        status, seconds = running.stop()
        assert status == 0
        assert seconds < 15
        assert b"text/event-stream" in received
        while data := connection.recv(4096):
            received += data
        assert received.endswith(b"0\r\n\r\n")
