"""A body arrives whole, or its request is no success; and the connection tells what comes of it."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from socket import SHUT_WR

import pytest
from services import Running, Service

pytestmark = pytest.mark.image

LIMIT = 400_000
HEAD = b"POST /probe/read HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def running(service: Service) -> Iterator[Running]:
    with service.run(WEB_CONCURRENCY="2", MAX_BODY_BYTES=str(LIMIT), READ_SECONDS="2") as container:
        yield container


def chunked(body: bytes, size: int) -> bytes:
    """Return a body in chunks of so many bytes."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def answers(running: Running, *pieces: bytes, pause: float = 0.0) -> list[tuple[int, bytes, bytes]]:
    """Send pieces on one connection, and return the status, head and body of each answer."""
    with running.connect() as connection:
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        found: list[tuple[int, bytes, bytes]] = []
        with connection.makefile("rb") as stream, suppress(ConnectionError):
            while not found or b"\r\nconnection: close" not in found[-1][1]:
                head = b"".join(iter(stream.readline, b"\r\n")).lower()
                length = re.search(rb"content-length: (\d+)", head)
                body = stream.read(int(length[1]) if length else 0)
                found.append((int(head.split()[1]), b"\r\n" + head, body))
        return found


LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("length", "size"), [(0, 1), (1, 1), (5000, 100), (300_000, 300_000), (LIMIT, 65536)]
)
def test_a_body_in_chunks_is_read(running: Running, length: int, size: int) -> None:
    data = CHUNKED + chunked(b"x" * length, size)
    found = answers(running, data + LAST)
    assert [(status, body) for status, _, body in found] == [
        (200, str(length).encode()),
        (200, b"live"),
    ]


def test_a_model_is_read_in_chunks_and_pieces(running: Running) -> None:
    head = CHUNKED.replace(b"/probe/read", b"/greetings")
    head = head.replace(b"Host: a", b"Host: a\r\nContent-Type: application/json")
    data = head + chunked(b'{"name": "Ada"}', 4)
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    (status, _, body), _ = answers(running, *pieces, LAST, pause=0.01)
    assert (status, json.loads(body)) == (200, {"text": "hi Ada"})


def test_a_body_in_chunks_that_is_too_long_is_refused(running: Running) -> None:
    for path in (b"/probe/read", b"/greetings"):
        data = CHUNKED.replace(b"/probe/read", path) + chunked(b"x" * (LIMIT + 1), 50_000)
        found = answers(running, data.replace(b"Host", b"Content-Type: application/json\r\nHost"))
        ((status, head, _),) = found
        assert status == 413
        assert b"\r\nconnection: close" in head
        assert b"\r\ncontent-type: application/problem+json" in head


PARTS = [
    HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 50,
    HEAD + b"Content-Length: 300000\r\n\r\n" + b"x" * 200_000,
    CHUNKED + b"5\r\nhello\r\n",
    CHUNKED + b"5\r\nhel",
    CHUNKED + b"5\r\nhello\r\n0\r\n",
]


@pytest.mark.parametrize("ends", [True, False])
def test_a_body_that_is_not_whole_is_no_success(running: Running, ends: bool) -> None:
    """Its client ends the connection, or says no more."""
    connections = [running.connect(timeout=40) for _ in PARTS]
    for number, data in enumerate(PARTS):
        given = b"X-Request-ID: %d-%d\r\nHost" % (number, ends)
        connections[number].sendall(data.replace(b"Host", given))
        if ends:
            connections[number].shutdown(SHUT_WR)
    for number, connection in enumerate(connections):
        received = b""
        with connection, suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
        assert re.match(rb"HTTP/1.1 4\d\d ", received) or (ends and not received), PARTS[number][
            :200
        ]
        assert not running.lines(request_id=f"{number}-{ends:d}", status=200)


@pytest.mark.parametrize("data", [b"zz\r\n", b"5\r\nhello!\r\n", b"5;a=\n\r\nhello\r\n"])
def test_chunks_that_are_malformed_are_refused(running: Running, data: bytes) -> None:
    ((status, head, _),) = answers(running, CHUNKED + data + b"0\r\n\r\n")
    assert status == 400
    assert b"\r\nconnection: close" in head


def test_a_body_that_makes_progress_has_no_limit_in_time(running: Running) -> None:
    """It takes twice as long as the longest wait for a part of it."""
    for head, encode in (
        (HEAD + b"Content-Length: 160000\r\n\r\n", bytes),
        (CHUNKED, lambda part: b"%x\r\n%b\r\n" % (len(part), part)),
    ):
        pieces = [encode(b"x" * 20_000) for _ in range(8)]
        end = b"0\r\n\r\n" if head == CHUNKED else b""
        found = answers(running, head, *pieces, end + LAST, pause=0.5)
        assert [(status, body) for status, _, body in found] == [(200, b"160000"), (200, b"live")]


@pytest.mark.parametrize("length", [10, 200_000])
@pytest.mark.parametrize(("path", "status"), [("/probe/ignore", 200), ("/nowhere", 404)])
def test_a_connection_ends_where_its_body_was_not_read(
    running: Running, length: int, path: str, status: int
) -> None:
    head = HEAD.replace(b"/probe/read", path.encode()) + b"Content-Length: %d\r\n\r\n"
    ((found, told, _),) = answers(running, head % length + b"x" * length)
    assert found == status
    assert b"\r\nconnection: close" in told


def test_expect_continue(running: Running) -> None:
    for fields in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"):
        with running.connect() as connection:
            connection.sendall(HEAD + fields + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"hello" if b"Length" in fields else chunked(b"hello", 5))
            received = b""
            while b" 200 " not in received:
                data = connection.recv(65536)
                assert data
                received += data
