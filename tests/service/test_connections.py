"""Connections: on both address families, with clients that do not read, and streams."""

import base64
import socket
import time
from contextlib import ExitStack

import pytest
from services import Running, Service

pytestmark = pytest.mark.image

IPV6 = "--sysctl=net.ipv6.conf.all.disable_ipv6={}"


def within(running: Running, url: str) -> str:
    """Return what is answered to a request from inside of the container."""
    return running.python(f"import urllib.request as u; print(u.urlopen('{url}').read().decode())")


def test_both_ports_are_on_both_address_families(service: Service) -> None:
    with service.run(IPV6.format(0), WEB_CONCURRENCY="1") as running:
        for host in ("127.0.0.1", "[::1]", "localhost"):
            assert within(running, f"http://{host}:8000/") == "hi"
            assert within(running, f"http://{host}:9090/livez") == "live"
        # as FORWARDED_ALLOW_IPS names them
        clients = {line["client"] for line in running.lines(path="/")}
        assert clients == {"127.0.0.1", "::1"}
        assert running.stop()[0] == 0


def test_serves_where_there_is_no_ipv6(service: Service) -> None:
    with service.run(IPV6.format(1), WEB_CONCURRENCY="1") as running:
        assert within(running, "http://127.0.0.1:8000/") == "hi"
        assert within(running, "http://127.0.0.1:9090/livez") == "live"


def test_listens_where_it_is_told_alone(service: Service) -> None:
    arguments = {"GUNICORN_CMD_ARGS": "--bind=127.0.0.1:8000"}
    with service.start(IPV6.format(0), probe=False, **arguments) as running:
        running.workers(1)
        assert within(running, "http://127.0.0.1:8000/") == "hi"
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        assert "refused" in running.python(
            "import socket\ntry: socket.create_connection(('::1', 8000))\n"
            "except OSError as error: print(error)"
        )


def test_clients_that_do_not_read_are_dropped(service: Service) -> None:
    """There are as many of them as the service has threads; a stop waits for none."""
    with service.run(WEB_CONCURRENCY="1", THREADS="4") as running, ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((running.host, running.port))
            connection.sendall(b"GET /probe/large HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(1)
        # after the 10 seconds of SEND_SECONDS, if before then nobody is left to answer
        assert running.ask("/")[0].status == 200
        time.sleep(15)
        status, seconds = running.stop()
        assert status == 0
        assert seconds < 10


def test_who_reads_slowly_gets_all(service: Service) -> None:
    """It takes twice as long as one who reads nothing may take."""
    with service.run(WEB_CONCURRENCY="1") as running, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(20)
        connection.connect((running.host, running.port))
        connection.sendall(b"GET /probe/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received, began = 0, time.monotonic()
        while data := connection.recv(65536):
            received += len(data)
            if time.monotonic() < began + 20:
                time.sleep(0.2)
        assert received > 50 << 20


def open_websocket(running: Running) -> socket.socket:
    """Return the connection of a WebSocket, after its handshake."""
    connection = running.connect()
    key = base64.b64encode(bytes(16)).decode()
    connection.sendall(
        f"GET /probe/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "X-Request-ID: ws\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


ASGI = pytest.mark.parametrize("service", ["asgi"], indirect=True)


@ASGI
def test_a_websocket_is_closed_when_the_service_stops(service: Service) -> None:
    with service.run(WEB_CONCURRENCY="1") as running, open_websocket(running) as connection:
        connection.sendall(b"\x81\x82\0\0\0\0hi")
        assert connection.recv(100) == b"\x81\x02hi"
        status, seconds = running.stop()
        assert status == 0
        assert seconds < 8
        # a close frame, with 1001: going away
        assert connection.recv(100)[:1] == b"\x88"
        line = running.wait_for(logger="gunicorn.access", request_id="ws")
        assert (line["method"], line["path"], line["status"]) == ("GET", "/probe/websocket", 101)
        assert line["route"] == "/probe/websocket"
        assert not running.lines(level="error")


@ASGI
def test_an_event_stream_ends_when_the_service_stops(service: Service) -> None:
    with service.run(WEB_CONCURRENCY="1") as running, running.connect() as connection:
        connection.sendall(b"GET /probe/events HTTP/1.1\r\nHost: a\r\nX-Request-ID: sse\r\n\r\n")
        received = connection.recv(4096)
        assert received.startswith(b"HTTP/1.1 200 ")
        status, seconds = running.stop()
        assert status == 0
        assert seconds < 8
        while data := connection.recv(4096):
            received += data
        assert received.endswith(b"\r\n0\r\n\r\n")
        assert running.wait_for(logger="gunicorn.access", request_id="sse")["status"] == 200
        assert not running.lines(level="error")
