"""The service, running in its image, gets over what goes wrong around it."""

import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import images
import pytest
from images import docker
from services import Running, Service
from support import free_port, get

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def single(service: Service) -> Iterator[Running]:
    with service.run(WEB_CONCURRENCY="1", READ_SECONDS="10") as running:
        yield running


Record = Callable[[str, object], None]


class Clients:
    """Clients that ask the same again and again, while a context lasts."""

    def __init__(self, host: str, port: int, count: int, keep: bool = True) -> None:
        """Take where to ask, and whether a client keeps its connection."""
        self.address, self.keep = (host, port), keep
        self.seconds: list[float] = []
        self.results: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        with ExitStack() as stack:
            connection = None
            while not self._stopped.is_set():
                started = time.monotonic()
                answer = b""
                try:
                    if not connection:
                        connection = socket.create_connection(self.address, timeout=30)
                        stack.callback(connection.close)
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: service\r\n\r\n")
                    while not answer.endswith(b"\r\n\r\nhi"):
                        data = connection.recv(4096)
                        answer += data
                        if not data or not answer.startswith(b"HTTP/1.1 200 "):
                            break
                    result = answer[9:12].decode() if data else "closed"
                except OSError as error:
                    result = type(error).__name__
                    self._stopped.wait(0.05)
                if result != "200" or not self.keep or b"\r\nconnection: close" in answer.lower():
                    stack.pop_all().close()
                    connection = None
                self.results[result] += 1
                self.seconds.append(time.monotonic() - started)

    def __enter__(self) -> "Clients":
        """Begin to ask."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, when what was asked last is answered."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def percentile(self, share: float) -> float:
        """Return the seconds within which this share of all requests was answered."""
        return sorted(self.seconds)[math.ceil(len(self.seconds) * share) - 1]


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds, for so many seconds at most; give the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + seconds
        time.sleep(0.05)
    return time.monotonic() - started


def test_answers_what_is_in_flight_when_it_stops(service: Service, record_property: Record) -> None:
    with service.run(WEB_CONCURRENCY="4", THREADS="8", DRAIN_SECONDS="1") as running:
        answers: list[int] = []

        def ask() -> None:
            answers.append(running.ask("/probe/slow?seconds=1")[0].status)

        threads = [threading.Thread(target=ask) for _ in range(100)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        assert len(answers) < 50
        status, seconds = running.stop()
        for thread in threads:
            thread.join()
        record_property("seconds", round(seconds, 1))
        assert answers == [200] * 100
        assert status == 0
        assert seconds < 25
        assert not running.lines(level="error")


@pytest.mark.parametrize("drain", [0, 2])
def test_kept_connections_lose_nothing_when_it_stops(service: Service, drain: int) -> None:
    """Each answer from the first moment says that it is the last on its connection."""
    # a network of its own would end with the container, and leave clients without a word
    with service.run(
        "--network=host", PORT=str(free_port()), METRICS_PORT="0", DRAIN_SECONDS=str(drain)
    ) as running:
        with (
            Clients(running.host, running.port, count=32) as clients,
            running.connect() as kept,
        ):

            def ask() -> bytes:
                kept.sendall(b"GET / HTTP/1.1\r\nHost: service\r\n\r\n")
                answer = b""
                while not answer.endswith(b"\r\n\r\nhi"):
                    answer += kept.recv(4096)
                return answer.lower()

            assert b"\r\nconnection: close\r\n" not in ask()
            time.sleep(1)
            docker("kill", "--signal=TERM", running.id)
            time.sleep(0.3)
            assert b"\r\nconnection: close\r\n" in ask()
            answered = clients.results["200"]
            wait_until(lambda: running.inspect("{{.State.Running}}") == "false", 10)
        assert answered > 100
        # what connects when nothing listens any more is refused, and may be tried elsewhere
        assert set(clients.results) <= {"200", "ConnectionRefusedError", "ConnectionResetError"}
        assert clients.results["closed"] == 0


# gunicorn, whose workers take two seconds from their fork to their own signal handlers.
SLOW_FORK = """
import sys, time
from gunicorn.app.wsgiapp import run
from {package}.serving import metrics
metrics.post_worker_init = lambda settings, worker: time.sleep(2)
sys.argv = ["gunicorn"]
run()
"""


def test_stops_while_a_worker_begins(service: Service) -> None:
    command = ("python3", "-c", SLOW_FORK.format(package=service.package))
    options = ("--env=WEB_CONCURRENCY=1", "--env=DRAIN_SECONDS=0")
    with images.running(service.image, *options, command=command) as container:
        wait_until(lambda: "Booting worker" in container.logs(), 20)
        status, seconds = container.stop()
        assert status == 0
        assert seconds < 10
        assert "SIGKILL" not in container.logs()


@contextmanager
def nginx(tools: str, folder: Path, *ports: int) -> Iterator[int]:
    """Run nginx before servers on these ports while the context lasts; give its own port."""
    port = free_port()
    servers = "".join(f"server 127.0.0.1:{each} max_fails=0; " for each in ports)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {}\n"
        "http { access_log off;\n"
        f" client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
        f" fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
        f" upstream service {{ {servers} keepalive 16; }}\n"
        f" server {{ listen 127.0.0.1:{port};\n"
        "  location / { proxy_pass http://service; proxy_http_version 1.1;\n"
        '   proxy_set_header Connection ""; } } }\n'
    )
    options = ("--network=host", f"--volume={folder}:{folder}")
    with images.running(tools, *options, command=("nginx", "-c", f"{folder}/nginx.conf")):
        wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 10)
        yield port


def test_loses_no_request_when_restarted_behind_a_proxy(
    service: Service, tools: str, tmp_path: Path, record_property: Record
) -> None:
    with ExitStack() as stack:
        containers, ports = [], []
        for _ in range(2):
            ports.append(free_port())
            run = service.run(
                "--network=host", WEB_CONCURRENCY="2", METRICS_PORT="0", PORT=str(ports[-1])
            )
            containers.append(stack.enter_context(run))
        front = stack.enter_context(nginx(tools, tmp_path, *ports))
        clients = stack.enter_context(Clients("127.0.0.1", front, count=8))
        for container in containers:
            time.sleep(1)
            docker("restart", "--timeout=30", container.id)
            wait_until(container.answers, 10)
        wait_until(lambda: clients.results.total() > 20_000, 60)
    record_property("requests", clients.results.total())
    assert clients.results == {"200": clients.results.total()}


def test_a_stop_resets_no_more_than_what_waits_to_be_accepted(
    service: Service, record_property: Record
) -> None:
    """Nothing comes between the clients and the service, and it does not drain."""
    # a network of its own would end with the container, and leave clients without a word
    host: dict[str, Any] = {"PORT": str(free_port()), "METRICS_PORT": "0"}
    with service.run("--network=host", WEB_CONCURRENCY="2", **host) as running:
        with Clients(running.host, running.port, count=32, keep=False) as clients:
            time.sleep(1)
            status, _ = running.stop()
        lost = clients.results.total() - clients.results["200"]
        lost -= clients.results["ConnectionRefusedError"]
        record_property("lost", f"{lost}, of {clients.results['200']} answered")
        assert status == 0
        assert clients.results["200"] > 100
        assert lost <= 32


def test_a_killed_worker_takes_only_its_own_requests(
    service: Service, record_property: Record
) -> None:
    with service.run(WEB_CONCURRENCY="2") as running:
        running.workers(2)
        files = "import os; print(sum(len(f) for _, _, f in os.walk('/dev/shm')))"
        with Clients(running.host, 8000, count=16) as clients:
            time.sleep(1)
            for _ in range(3):
                time.sleep(0.5)
                counted, before = running.requests("/"), running.workers()
                failed = clients.results.total() - clients.results["200"]
                running.python(
                    "import os\n"
                    "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
                    "    stat = open(f'/proc/{pid}/stat').read()\n"
                    "    if pid != '1' and stat.rpartition(')')[2].split()[1] == '1':\n"
                    "        break\n"
                    "os.kill(int(pid), 9)"
                )

                def replaced(before: list[int] = before) -> bool:
                    return len(set(running.workers()) - set(before)) == 1

                seconds = wait_until(replaced, 10)
                failed = clients.results.total() - clients.results["200"] - failed
                enough = clients.results["200"] + 100

                def serves(enough: int = enough) -> bool:
                    return clients.results["200"] > enough

                wait_until(serves, 10)
                assert running.requests("/") >= counted
                assert failed <= 16
                assert seconds < 2
                record_property("failed", failed)
                record_property("seconds", round(seconds, 2))
        assert set(clients.results) - {"200"} <= {"closed", "ConnectionResetError"}
        time.sleep(0.3)
        # what the killed workers answered last is answered, and may not have been counted
        assert running.requests("/") >= clients.results["200"] - 3 * 16
        assert int(running.python(files)) <= 2 * 4
        assert len(running.lines(level="error")) == 3


def test_a_worker_that_has_served_enough_is_replaced(service: Service) -> None:
    command = (
        "gunicorn",
        "--max-requests=200",
        "--max-requests-jitter=0",
        f"{service.package}.probe:serve()",
    )
    with service.run(command=command, WEB_CONCURRENCY="2") as running:
        files = "import os; print(sum(len(f) for _, _, f in os.walk('/dev/shm')))"
        counts = [0.0]
        with (
            Clients(running.host, 8000, count=8, keep=False) as clients,
            ThreadPoolExecutor(8) as scrapers,
        ):
            while clients.results["200"] < 3000:
                # of many answers, some are begun by a worker that is at its end
                scraped = sorted(scrapers.map(running.requests, ["/"] * 8))
                assert scraped[0] >= counts[-1]
                counts += scraped
        assert set(clients.results) == {"200"}
        wait_until(lambda: running.requests("/") == clients.results["200"], 5)
        assert not running.lines(level="error")
        assert len(running.lines(message="Autorestarting worker after current request.")) > 10
        assert int(running.python(files)) <= 2 * 4


HALF = b"GET / HTTP/1.1\r\nX: "
POST = b"POST /greetings HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n"


def test_slow_clients_keep_none_waiting(service: Service, record_property: Record) -> None:
    with service.run(WEB_CONCURRENCY="2", READ_SECONDS="6") as running:
        with ExitStack() as stack:
            starts = (b"", HALF, POST + b"\r\n")
            slow = [stack.enter_context(running.connect()) for _ in range(500)]
            started = time.monotonic()
            for number, connection in enumerate(slow):
                connection.sendall(starts[number % 3])
            wait_until(lambda: len(running.cpu_seconds()) == 3, 10)
            used = sum(running.cpu_seconds())
            stopped = threading.Event()

            def drip() -> None:
                while not stopped.wait(0.5):
                    for number, connection in enumerate(slow):
                        if number % 3:
                            with suppress(OSError):
                                connection.send(b"x")

            dripper = threading.Thread(target=drip)
            dripper.start()
            time.sleep(2)
            used = sum(running.cpu_seconds()) - used
            with Clients(running.host, 8000, count=4, keep=False) as clients:
                time.sleep(3)
            if not service.is_asgi:
                # idle clients and unfinished heads have had their time; bodies make progress
                for number, connection in enumerate(slow):
                    if number % 3 < 2:
                        connection.settimeout(max(0.01, started + 12 - time.monotonic()))
                        with suppress(ConnectionResetError):
                            while connection.recv(4096):
                                pass
            stopped.set()
            dripper.join()
        record_property("p99 seconds", round(clients.percentile(0.99), 4))
        record_property("requests", clients.results.total())
        record_property("CPU seconds in 2 s", round(used, 2))
        assert set(clients.results) == {"200"}
        assert clients.results.total() > 100
        assert clients.percentile(0.99) < 1
        assert used < 1
        assert running.ask("/")[0].status == 200


@pytest.mark.parametrize(
    "data",
    [
        HALF,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + HALF,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        HALF + b"x" * 8000 + b"\r\nY: " + b"y" * 8000 + b"\r\nZ: " + b"z" * 8000 + b"\r\nA: ",
        b"\n\n",
        POST + b"\r\n",
        POST + b"\r\n{",
        POST + b"Expect: 100-continue\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        POST.replace(b"9000", b"9000000") + b"\r\n",
    ],
)
def test_unfinished_requests_take_no_thread(single: Running, data: bytes) -> None:
    """There are several times as many of them as threads."""
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(single.connect()).sendall(data)
        started = time.monotonic()
        for _ in range(10):
            assert single.ask("/")[0].status == 200
        assert time.monotonic() - started < 2


def test_parts_and_ends_of_requests(single: Running) -> None:
    body = b'{"name": "Ada"}'
    whole = (
        b"POST /greetings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    last = whole.replace(b"Host: a", b"Connection: close")
    for size in (1, 7, 60):
        with single.connect() as connection:
            for start in range(0, len(last), size):
                connection.sendall(last[start : start + size])
                time.sleep(0.002)
            assert b"hi Ada" in connection.makefile("rb").read()
    assert single.send(whole * 20 + last).count(b"hi Ada") == 21
    long = last.replace(b"Ada", b"A" * 90).replace(b": 15", b": 102")
    assert b"hi AAA" in single.send(long.replace(b"\r\n", b"\r\nX: " + b"x" * 8000 + b"\r\n", 1))
    expects = last.replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1)
    with single.connect() as connection:
        connection.sendall(expects[: -len(body)])
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(expects[-len(body) :])
        assert b"hi Ada" in connection.makefile("rb").read()
    for part in (b"", last[:40], last[:-3]):
        with single.connect() as connection:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            assert b"hi Ada" not in connection.makefile("rb").read()
        with single.connect() as connection:
            connection.sendall(part)
            # what is left is reset, not closed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert single.ask("/")[0].status == 200
    assert [line["exception"] for line in single.lines(level="error")] == []


def test_a_large_body_comes_whole(single: Running) -> None:
    body = b'{"name": "Ada"}' + b" " * 1_000_000
    response, text = single.ask("/greetings", "POST", body=body, Content_Type="application/json")
    assert (response.status, text) == (200, b'{"text":"hi Ada"}')


def test_an_idle_connection_does_not_keep_it_from_ending(service: Service) -> None:
    with (
        service.run(WEB_CONCURRENCY="1") as running,
        running.connect() as idle,
        running.connect() as half,
    ):
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(4096)
        half.sendall(HALF)
        status, seconds = running.stop()
    assert status == 0
    assert seconds < 6


def test_says_that_a_worker_ran_out_of_memory(service: Service) -> None:
    # a health check that starts that moment would have the kernel end one process more
    limits = ("--memory=160m", "--memory-swap=160m", "--no-healthcheck")
    with service.run(*limits, WEB_CONCURRENCY="2") as running:
        before = running.workers(2)
        with pytest.raises(ConnectionError):
            running.ask("/probe/eat?mib=200")
        assert running.ask("/")[0].status == 200
        wait_until(lambda: len(set(running.workers()) - set(before)) == 1, 5)
        line = running.wait_for(level="error")
        assert line["message"].endswith("was sent SIGKILL! Perhaps out of memory?")
        assert len(running.lines(level="error")) == 1


def test_says_that_there_is_no_space_left(service: Service) -> None:
    with service.run("--tmpfs=/tmp:size=1m") as running:
        response, _ = running.ask("/probe/save?mib=2")
        assert response.status == 500
        line = running.wait_for(level="error", request_id=response.headers["X-Request-ID"])
        assert line["exception"].endswith("OSError: [Errno 28] No space left on device")
        assert running.ask("/")[0].status == 200
        assert running.ask("/readyz")[0].status == 200
        assert running.stop()[0] == 0


JUMP = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME && access("/tmp/back", F_OK) == 0)
        now->tv_sec -= 3600;
    if (clock == CLOCK_REALTIME && access("/tmp/forth", F_OK) == 0)
        now->tv_sec += 3600;
    return result;
}
"""


def test_gets_over_a_jump_of_the_clock(service: Service, tools: str, tmp_path: Path) -> None:
    """The wall clock of all its processes jumps; the monotonic clock never does."""
    source, library = tmp_path / "jump.c", tmp_path / "jump.so"
    source.write_text(JUMP)
    compile_it = ("cc", "-shared", "-fPIC", "-nostdlib", "-o", str(library), str(source))
    docker("run", "--rm", f"--volume={tmp_path}:{tmp_path}", tools, *compile_it)
    preload = (f"--volume={library}:/jump.so:ro", "--env=LD_PRELOAD=/jump.so")
    with service.run(*preload, WEB_CONCURRENCY="2") as running:
        workers = running.workers(2)
        for direction, hours in (("back", -1), ("forth", 1)):
            slow = threading.Thread(target=running.ask, args=("/probe/slow?seconds=1.5",))
            slow.start()
            time.sleep(0.5)
            running.python(f"open('/tmp/{direction}', 'w')")
            slow.join()
            response, _ = running.ask("/", X_Request_ID=direction)
            assert response.status == 200
            logged = running.wait_for(request_id=direction)["time"]
            shift = datetime.fromisoformat(logged) - datetime.now(UTC)
            assert round(shift / timedelta(hours=1)) == hours
            running.python(f"import os; os.remove('/tmp/{direction}')")
        assert running.workers() == workers
        durations = [line["duration"] for line in running.lines(logger="gunicorn.access")]
        assert all(0 <= duration < 10 for duration in durations), durations
        seconds = "http_server_request_duration_seconds_sum"
        total = sum(v for name, v in running.metrics().items() if name.startswith(seconds))
        assert 0 < total < 10
        running.python("open('/tmp/forth', 'w')")
        status, stopped_after = running.stop()
        assert status == 0
        assert stopped_after < 10
        assert not running.lines(level="error")


def test_compose_has_room_for_eight_workers(service: Service) -> None:
    """A thread of a worker answers each of many clients, and each of many that ask for metrics."""
    port, metrics = free_port(), free_port()
    variables = {"PORT": str(port), "METRICS_PORT": str(metrics)}
    variables |= {"WEB_CONCURRENCY": "8", "THREADS": "16"}
    up = service.baked.run("docker", "compose", "up", "--detach", "--wait", **variables)
    try:
        assert up.returncode == 0, up.stderr
        with Clients("127.0.0.1", port, 128) as clients, ThreadPoolExecutor(64) as pool:
            scrapes = list(pool.map(get, [f"http://127.0.0.1:{metrics}/metrics"] * 128))
        logs = service.baked.run("docker", "compose", "logs", "--no-log-prefix", **variables).stdout
    finally:
        service.baked.run("docker", "compose", "down", "--volumes", "--timeout=0", **variables)
    assert {status for status, _ in scrapes} == {200}
    assert set(clients.results) == {"200"}
    lines = [json.loads(line) for line in logs.splitlines()]
    assert len([line for line in lines if line["message"].startswith("Booting worker")]) == 8
    assert {line["level"] for line in lines} == {"info"}
