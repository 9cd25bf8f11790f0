{% if cookiecutter.interface == "asgi" -%}
"""The worker of gunicorn, but with less patience for idle connections."""

from asyncio import Transport

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

# Connections that are idle when the worker stops stay open for so many seconds, as a client may
# be sending a request that moment. Without this, they would hold the worker for graceful_timeout.
LINGER_SECONDS = 2


class Protocol(ASGIProtocol):
    """A connection on which the first request, too, has to come within `keepalive` seconds."""

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.worker.connections.add(self)
        self._arm_keepalive_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.worker.connections.discard(self)
        super().connection_lost(exc)

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

import socket
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from time import monotonic

from gunicorn.workers.gthread import TConn, ThreadWorker

# The head of a request has so many seconds to arrive, and so has the body after it.
READ_SECONDS = 30
# The heads of most requests; a longer one goes to a thread before all of it is there.
HEAD_BYTES = 16384


class Worker(ThreadWorker):
    """Gives a request to a thread once its head is there, and waits for heads in the main loop."""

    def __init__(self, *arguments: object) -> None:
        """Take what gunicorn gives to a worker."""
        super().__init__(*arguments)
        self._answering: set[TConn] = set()

    def enqueue_req(self, conn: TConn) -> None:
        """Have a request answered, now or when its head is there."""
        seen = getattr(conn, "seen", 0)
        if self._has_head(conn):
            if seen:
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.seen = 0
            conn.head_by = None
            conn.data_ready = True
            super().enqueue_req(conn)
            return
        if getattr(conn, "head_by", None) is None:
            conn.head_by = monotonic() + READ_SECONDS
        conn.timeout = conn.head_by
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        on_readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, on_readable)

    def _has_head(self, conn: TConn) -> bool:
        if conn.parser and conn.parser.unreader.buf.getvalue():
            return True  # it came with the request before
        try:
            head = conn.sock.recv(HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # the thread will find the same error, and close the connection
        seen = getattr(conn, "seen", 0)
        if b"\r\n\r\n" in head or len(head) in {seen, HEAD_BYTES}:
            return True  # when there is no more than before, the client has hung up
        # The main loop wakes up when there is more than this.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(head) + 1)
        conn.seen = len(head)
        return False

    def handle(self, conn: TConn) -> object:
        """Answer a request, in a thread."""
        conn.body_by = monotonic() + READ_SECONDS
        self._answering.add(conn)
        try:
            return super().handle(conn)
        finally:
            self._answering.discard(conn)

    def murder_pending(self) -> None:
        """End what has waited for too long, for the head of a request or for its body."""
        super().murder_pending()
        for conn in list(self._answering):
            if conn.body_by < monotonic():
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
{%- endif %}
