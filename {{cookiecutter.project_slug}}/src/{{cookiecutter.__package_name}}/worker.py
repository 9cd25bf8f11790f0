{% if cookiecutter.interface == "asgi" -%}
"""The worker of gunicorn, but with less patience for slow clients."""

from asyncio import TimerHandle, Transport
from http import HTTPStatus

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from {{ cookiecutter.__package_name }} import health, problems

# The body of a request has so many seconds to arrive after its head, which has `keepalive`.
READ_SECONDS = 30
# Connections that are idle when the worker stops stay open for so many seconds, as a client may
# be sending a request that moment. Without this, they would hold the worker for graceful_timeout.
# One whose body is not read stays open as long, so that the client can read the answer, unless it
# sends more than so many bytes meanwhile.
LINGER_SECONDS = 2
LINGER_BYTES = 2**20


class Protocol(ASGIProtocol):
    """A connection on which requests have to arrive within some time."""

    _body_timer: TimerHandle | None = None
    _lingers = False
    _discarded = 0

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for the first request."""
        # asyncio reads into a new buffer of 256 KiB unless told otherwise, which musl's allocator
        # asks the kernel for and gives back each time.
        transport.max_size = 16 * 1024
        super().connection_made(transport)
        self.worker.connections.add(self)
        self._arm_keepalive_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take data, and begin to wait for the rest of a body."""
        if self._lingers:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.close()
            return
        super().data_received(data)
        receiver = self._body_receiver
        if receiver and not receiver._complete and not self._body_timer:
            self._body_timer = self.worker.loop.call_later(READ_SECONDS, self._end_body)

    def _on_headers_complete(self) -> bool:
        skips_body = super()._on_headers_complete()
        # Falcon waits for a first piece of the body before it looks at the head.
        if self._current_request.content_length or self._current_request.chunked:
            self._body_receiver._chunks.append(b"")
        return skips_body

    def _on_message_complete(self) -> None:
        super()._on_message_complete()
        if self._body_timer:
            self._body_timer.cancel()
            self._body_timer = None

    def _end_body(self) -> None:
        # The same as when nothing at all comes for `timeout` seconds.
        self._body_receiver._body_wait_expired = True
        self._body_receiver._wake_waiter()

    def _send_error_response(self, status: int, message: str, extra_headers: tuple = ()) -> None:
        if status != HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.warning("Invalid request: %s", message)
        self._safe_write(problems.raw(status, message))

    def _close_transport(self) -> None:
        receiver = self._body_receiver
        if self._closed or not receiver or receiver._complete:
            super()._close_transport()
            return
        self._closed = self._lingers = True
        self.transport.write_eof()
        self._resume_reading()
        self.worker.loop.call_later(LINGER_SECONDS, self.transport.close)

    def close_if_idle(self) -> None:
        """Close the connection, unless a request on it is being answered."""
        if self._awaiting_request:
            self._keepalive_timeout()


class Worker(gasgi.ASGIWorker):
    """Serves the application, and closes idle connections when it stops."""

    def __init__(self, *arguments: object) -> None:
        """Take what gunicorn gives to a worker."""
        super().__init__(*arguments)
        self.connections: set[Protocol] = set()

    def init_signals(self) -> None:
        """Handle signals, and those that came before it could."""
        super().init_signals()
        health.take_stop()

    def close_idle(self) -> None:
        """Close all connections on which no request is being answered."""
        for connection in list(self.connections):
            connection.close_if_idle()

    async def _shutdown(self) -> None:
        self.loop.call_later(LINGER_SECONDS, self.close_idle)
        await super()._shutdown()


# What the worker of gunicorn makes of a connection.
gasgi.ASGIProtocol = Protocol
{%- else -%}
"""The worker of gunicorn, but slow clients take none of its threads."""

import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from math import inf
from selectors import EVENT_READ
from time import monotonic

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.workers import gthread

from {{ cookiecutter.__package_name }} import health, problems
from {{ cookiecutter.__package_name }}.settings import Settings

# The head of a request has so many seconds to arrive, and so has the body after it.
READ_SECONDS = 30
# The longest head: what proxies commonly pass on, four times 8 KiB.
HEAD_BYTES = 32768
# A client has so many seconds to read the last answer before its connection is closed, unless it
# sends more than so many bytes meanwhile.
LINGER_SECONDS = 2
LINGER_BYTES = 2**20
# As much as threads have with glibc. With musl it is less, and JSON that is nested deeply would end
# the process, and not only the request.
STACK_BYTES = 8 * 2**20

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,10})[ \t]*\r\n", re.IGNORECASE)
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Connection(gthread.TConn):
    """A connection that takes no thread until a request is there, nor to end."""

    def __init__(self, *arguments: object) -> None:
        """Take what gunicorn gives to a connection."""
        super().__init__(*arguments)
        self.is_gone = False
        self.is_refused = False
        self.head_is_too_long = False
        self.waits_for_body = False
        self.read_by = self.body_by = inf
        self.lingers = False
        self.discarded = 0
        # The main loop wakes up for so many bytes.
        self._low_water = 1

    def has_request(self, max_body_bytes: int) -> bool:
        """Tell whether a thread would not wait for a request, nor for a body that is accepted."""
        if self.cfg.is_ssl:
            return True  # what is encrypted cannot be looked at
        if self.waits_for_body:
            # It woke up as all is there, or all that the kernel holds, or the client has gone.
            self.is_gone = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            return True
        # What came with the request before.
        held = self.parser.unreader.buf.getvalue() if self.parser else b""
        try:
            data = self.sock.recv(HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if len(data) < self._low_water:
                return True  # it woke up for the end of what the client sends
        except BlockingIOError:
            data = b""
        except OSError:
            return True  # the thread will find the same error, and close the connection
        data = held + data
        body = data.find(b"\r\n\r\n") + 4
        if body < 4:
            self.head_is_too_long = len(data) >= HEAD_BYTES
            if not self.head_is_too_long:
                self._wake_up_for(len(data) - len(held) + 1)
            return self.head_is_too_long
        length = _CONTENT_LENGTH.search(data, 0, body)
        length = int(length[1]) if length else 0
        self.is_refused = length > max_body_bytes or bool(_TRANSFER_ENCODING.search(data, 0, body))
        if self.is_refused or body + length <= len(data):
            return True
        if _EXPECT.search(data, 0, body):
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._wake_up_for(body + length - len(held))
        self.waits_for_body = True
        self.read_by = inf
        return False

    def start(self) -> None:
        """Get ready for the thread that answers a request."""
        self._wake_up_for(1)
        self.waits_for_body = False
        self.read_by = inf
        self.body_by = monotonic() + READ_SECONDS
        self.data_ready = True

    def _wake_up_for(self, count: int) -> None:
        if count != self._low_water:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._low_water = count

    def end_body(self) -> None:
        """End a body that has not come in time; what has come can still be read."""
        message = self.parser and self.parser.mesg
        if monotonic() > self.body_by and message and getattr(message.body.reader, "length", 0):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RD)

    def close(self, graceful: bool = False) -> None:
        """Close the connection, or only what goes out, so that a client can read to the end."""
        if graceful:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
                self.lingers = True
                return
        super().close()


class Worker(gthread.ThreadWorker):
    """Gives requests to threads once they are there, and waits for all else in the main loop."""

    def __init__(self, *arguments: object) -> None:
        """Take what gunicorn gives to a worker."""
        super().__init__(*arguments)
        self._answering: set[Connection] = set()
        self._stop_by = inf
        self._max_body_bytes = Settings.from_environment().max_body_bytes

    def init_signals(self) -> None:
        """Handle signals, and those that came before it could."""
        super().init_signals()
        health.take_stop()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Give the threads that answer requests."""
        threading.stack_size(STACK_BYTES)
        return super().get_thread_pool()

    def enqueue_req(self, conn: Connection) -> None:
        """Have a request answered, now or when it is there."""
        if conn.has_request(self._max_body_bytes):
            conn.start()
            super().enqueue_req(conn)
            return
        conn.read_by = min(conn.read_by, monotonic() + READ_SECONDS)
        until = conn.read_by if conn.waits_for_body else min(conn.read_by, self._stop_by)
        self._wait(conn, until, self.on_pending_socket_readable)

    def _wait(self, conn: Connection, until: float, then: Callable) -> None:
        conn.timeout = until
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(then, conn))

    def handle(self, conn: Connection) -> object:
        """Answer a request, in a thread."""
        if conn.is_gone:
            return False
        if conn.head_is_too_long:
            error = LimitRequestHeaders(f"the head is longer than {HEAD_BYTES} bytes")
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        self._answering.add(conn)
        try:
            return super().handle(conn)
        finally:
            self._answering.discard(conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        # A body that is not accepted is not waited for either.
        return super()._keepalive_after(conn, keepalive and not conn.is_refused)

    def finish_request(self, conn: Connection, fs: Future) -> None:
        """Wait for the next request, or for the client to end the connection."""
        super().finish_request(conn, fs)
        if conn.lingers:
            self.nr_conns += 1
            self._wait(conn, monotonic() + LINGER_SECONDS, self._discard)

    def _discard(self, conn: Connection, sock: socket.socket) -> None:
        try:
            data = sock.recv(LINGER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.discarded += len(data)
        if not data or conn.discarded > LINGER_BYTES:
            conn.timeout = 0

    def murder_pending(self) -> None:
        """End what has waited for too long."""
        now = monotonic()
        for conn in [each for each in self.pending_conns if each.timeout <= now]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
        for conn in list(self._answering):
            conn.end_body()

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        self._stop_by = deadline
        for conn in self.pending_conns:
            if not conn.waits_for_body:
                conn.timeout = min(conn.timeout, deadline)


class Response(wsgi.Response):
    """An answer whose head leaves together with the first part of its body."""

    _head = b""

    def send_headers(self) -> None:
        """Make the head; what is sent next sends it first."""
        if not self.headers_sent:
            fields = [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = "".join([*self.default_headers(), *fields, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self._send(data)

    def _send(self, data: bytes = b"") -> None:
        head, self._head = self._head, b""
        if head or data:
            self.sock.sendall(head + data)

    def write(self, arg: bytes) -> None:
        """Send a part of the body, or the head alone where the part is empty."""
        super().write(arg)
        self._send()

    def sendfile(self, respiter: wsgi.FileWrapper) -> bool:
        """Have the kernel send a file, where it can."""
        self.send_headers()
        self._send()
        return super().sendfile(respiter)

    def close(self) -> None:
        """Send the end of the answer."""
        self.send_headers()
        self._send(b"0\r\n\r\n" if self.chunked else b"")


class Clock:
    """What gunicorn takes the time of a request from; the clock of the machine may be set."""

    @staticmethod
    def now() -> timedelta:
        """Give the time since some moment."""
        return timedelta(seconds=monotonic())


def write_error(sock: socket.socket, status: int, _reason: str, message: str) -> None:
    """Answer what is no request."""
    util.write_nonblock(sock, problems.raw(status, message))


# What the worker of gunicorn makes of a connection and of an answer, how it takes the time of a
# request, and how it answers what is no request.
gthread.TConn = Connection
wsgi.Response = Response
gthread.datetime = Clock
util.write_error = write_error
{%- endif %}
