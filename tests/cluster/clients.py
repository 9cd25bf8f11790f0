"""Clients that ask a service without a pause, and count what they get, until a line is typed.

`kubectl exec` runs this text in a pod of any image that has Python: it needs nothing else.
"""

import errno
import json
import select
import socket
import sys
import time
from collections import Counter

BODY = b'{"name": "Ada"}'
ANSWER = b'{"text":"hi Ada"}'
REQUEST = (
    b"POST /greetings HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n" % len(BODY)
)
# Without an answer for so many seconds, a request has failed.
PATIENCE = 10
# A client whose request has failed waits for so many seconds before the next.
PAUSE = 0.05


class Client:
    """Asks again and again, on a connection that it keeps or on one for each request."""

    def __init__(self, clients: "Clients", keep: bool) -> None:
        """Take the clients to which it belongs."""
        self.clients, self.keep = clients, keep
        self.request = REQUEST + (b"\r\n" if keep else b"Connection: close\r\n\r\n") + BODY
        self.socket: socket.socket | None = None
        self.sent = False
        self.answer = b""
        self.until = 0.0

    def connect(self) -> None:
        """Begin to connect."""
        self.sent = False
        self.until = time.monotonic() + PATIENCE
        self.socket = socket.socket(self.clients.family)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients.watch(self.socket, self)
        error = self.socket.connect_ex(self.clients.address)
        if error not in {0, errno.EINPROGRESS}:
            self.end("refused")

    def ask(self) -> None:
        """Send a request on the connection."""
        assert self.socket
        self.until = time.monotonic() + PATIENCE
        self.answer = b""
        try:
            self.socket.send(self.request)
        except OSError:
            # Nothing listens there, or a kept connection has ended under the request.
            self.end("lost" if self.sent else "refused")
            return
        self.sent = True
        self.clients.poll.modify(self.socket, select.EPOLLIN)

    def act(self) -> None:
        """Do what the connection is ready for."""
        assert self.socket
        if not self.sent:
            self.ask()
            return
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self.answer += data
        if not data:
            self.end("lost")
        elif self.answer[9:12] != b"200"[: len(self.answer[9:12])]:
            self.end(self.answer[9:12].decode(errors="replace"))
        elif self.answer.endswith(ANSWER):
            last = b"\r\nconnection: close\r\n" in self.answer.lower()
            if self.clients.stopped or last or not self.keep:
                self.end("answered")
            else:
                self.clients.results["answered"] += 1
                self.ask()

    def end(self, result: str) -> None:
        """Count the result of the last request, and close its connection."""
        assert self.socket
        self.clients.results[result] += 1
        self.clients.forget(self.socket)
        self.socket.close()
        self.socket = None
        if result == "answered" and not self.clients.stopped:
            self.connect()
        else:
            self.until = time.monotonic() + PAUSE


class Clients:
    """All clients."""

    def __init__(self, host: str, port: int, kept: int, anew: int) -> None:
        """Take where to ask, and the number of clients that keep connections and that do not."""
        [found, *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.family, self.address = found[0], found[4]
        self.poll = select.epoll()
        self.by_socket: dict[int, Client] = {}
        self.results: Counter[str] = Counter()
        self.stopped = False
        self.all = [Client(self, keep=number < kept) for number in range(kept + anew)]

    def watch(self, connection: socket.socket, client: Client) -> None:
        """Have a client act when its connection is ready."""
        self.poll.register(connection, select.EPOLLOUT)
        self.by_socket[connection.fileno()] = client

    def forget(self, connection: socket.socket) -> None:
        """Watch a connection no more."""
        self.poll.unregister(connection)
        del self.by_socket[connection.fileno()]

    def run(self) -> None:
        """Ask until a line is typed, and print the results so far every half second."""
        self.poll.register(sys.stdin, select.EPOLLIN)
        printed = 0.0
        while not self.stopped or self.by_socket:
            for descriptor, _ in self.poll.poll(PAUSE):
                if client := self.by_socket.get(descriptor):
                    client.act()
                elif descriptor == sys.stdin.fileno():
                    self.poll.unregister(sys.stdin)
                    self.stopped = True
            now = time.monotonic()
            for client in self.all:
                if client.until < now and client.socket:
                    client.end("late")
                elif client.until < now and not self.stopped:
                    client.connect()
            if now > printed + 0.5:
                printed = now
                print(json.dumps(self.results), flush=True)
        print(json.dumps(self.results), flush=True)


if __name__ == "__main__":
    Clients(sys.argv[1], *map(int, sys.argv[2:])).run()
