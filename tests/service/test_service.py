"""The service, running in its image, answers, logs and counts as it should."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import (
    BaseHTTPRequestHandler,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest
from conftest import BakeFunction
from images import browse, docker
from servers import serving
from services import Running, Service, add_probe
from support import free_port, get

pytestmark = pytest.mark.image

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
JSON: dict[str, Any] = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def running(service: Service) -> Iterator[Running]:
    with service.run(WEB_CONCURRENCY="2", MAX_BODY_BYTES="100000") as container:
        yield container


def head_and_body(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (names in lower case) and body of an answer that was sent whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize(
    ("options", "environment", "workers", "reason"),
    [
        (["--cpus=1.5"], {}, 2, "workers: 2 (2 CPUs, 1.5 allowed; no memory limit)"),
        (["--cpus=0.5"], {}, 1, "workers: 1 (2 CPUs, 0.5 allowed; no memory limit)"),
        (["--memory=112m"], {}, 1, "workers: 1 (2 CPUs, no limit; memory limit of 112 MiB"),
        (
            ["--cpus=0.5", "--memory=256m"],
            {"WEB_CONCURRENCY": "4"},
            4,
            "workers: 4, as WEB_CONCURRENCY says (2 CPUs, 0.5 allowed; memory limit of 256 MiB",
        ),
    ],
)
def test_workers_fit_the_limits(
    service: Service, options: list[str], environment: dict[str, str], workers: int, reason: str
) -> None:
    with service.run(*options, "--cpuset-cpus=0,1", probe=False, **environment) as running:
        assert len(running.workers(workers)) == workers
        first = running.lines()[0]
        assert first["message"].startswith(reason)
        assert first["logger"] == f"{service.package}.serving.capacity"


def test_stays_within_its_memory_under_load(
    service: Service, record_property: Callable[[str, object], None]
) -> None:
    """As many workers as fit take what capacity.py has for them at most, and none is killed."""
    with service.run("--memory=160m", "--memory-swap=160m", probe=False) as running:
        body = json.dumps({"name": "Ada" * 30}).encode()

        def load() -> None:
            for _ in range(300):
                assert running.ask("/greetings", "POST", body=body, **JSON)[0].status == 200

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        used = int(
            running.python("print(open('/sys/fs/cgroup/memory/memory.max_usage_in_bytes').read())")
            if docker("info", "--format", "{{.CgroupVersion}}") == "1"
            else running.python("print(open('/sys/fs/cgroup/memory.peak').read())")
        )
        record_property("peak MiB", used >> 20)
        assert len(running.workers()) == 2
        assert used < 160 << 20
        assert running.inspect("{{.State.OOMKilled}}") == "false"
        assert running.requests("/greetings") == 2400
        assert not running.lines(level="error")


def test_every_line_of_a_request_bears_its_id(service: Service, running: Running) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    response, _ = running.ask(
        "/probe/log?token=hidden",
        X_Request_ID="mine-1",
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
    )
    assert response.headers["X-Request-ID"] == "mine-1"
    running.wait_for(logger="gunicorn.access", request_id="mine-1")
    lines = running.lines(request_id="mine-1", trace_id=trace)
    assert [(line["logger"], line["level"]) for line in lines] == [
        (f"{service.package}.probe", "info"),
        ("library", "warning"),
        ("py.warnings", "warning"),
        ("gunicorn.access", "info"),
    ]
    said, library, _, access = lines
    assert said["message"] == "said hi"
    assert said["guest"] == "Ada"
    assert library["message"] == "two\nlines"
    assert (access["method"], access["path"]) == ("GET", "/probe/log")
    assert access["status"] == 200
    assert access["bytes"] == 0
    assert 0 < access["duration"] < 5
    assert re.fullmatch(r"[\d.]+", access["client"])
    assert "hidden" not in running.logs()


def test_makes_an_id_where_none_is_given(running: Running) -> None:
    refused: list[dict[str, Any]] = [{}, {"X_Request_ID": 'a"b'}, {"X_Request_ID": "x" * 129}]
    for given in refused:
        response, _ = running.ask("/", **given)
        made = response.headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert running.wait_for(request_id=made)["path"] == "/"


def test_every_line_is_an_object_whatever_is_asked(running: Running) -> None:
    evil = '"} \\ \\" %0A{"time": \t%'
    for number, path in enumerate(
        ("/%0A%7B%22time%22", '/"', "/\\", "/\\x22", "/%22%5C", "/%00", "/%ff%fe", "/%e2%80%a8")
    ):
        running.ask(
            path,
            X_Request_ID=f"evil-{number}",
            User_Agent=evil,
            X_Forwarded_For=evil,
            Referer=evil,
        )
        line = running.wait_for(request_id=f"evil-{number}")
        assert line["path"] == path
        assert line["forwarded_for"] == evil.encode().decode("latin-1")
    for line in running.lines():
        assert TIME.fullmatch(line["time"]), line
        assert line["level"] in {"debug", "info", "warning", "error", "critical"}
        assert line["logger"]
        assert isinstance(line["message"], str)
    assert {"gunicorn.error", "gunicorn.access"} < {line["logger"] for line in running.lines()}


def test_probes_are_not_logged_but_counted(running: Running) -> None:
    before = running.requests("/livez")
    running.ask("/livez", X_Request_ID="probe")
    running.ask("/readyz", X_Request_ID="probe")
    running.ask("/", X_Request_ID="after")
    running.wait_for(request_id="after")
    assert not running.lines(request_id="probe")
    assert running.requests("/livez") > before


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "headers"),
    [
        (404, "GET", "/nowhere", b"", {}),
        (404, "POST", "/nowhere", b"x" * 1_000_000, {}),
        (413, "POST", "/greetings", b"x" * 1_000_000, JSON),
        (405, "POST", "/", b"", {}),
        (405, "GET", "/greetings", b"", {}),
        (400, "BREW", "/", b"", {}),
        (422, "POST", "/greetings", b"", JSON | {"Transfer_Encoding": "chunked"}),
        (413, "POST", "/greetings", b"x" * 100_001, JSON),
        (415, "POST", "/greetings", b"<a/>", {"Content_Type": "text/xml"}),
        (400, "POST", "/greetings", b"{", JSON),
        (400, "POST", "/greetings", b'{"name": "\xff"}', JSON),
        (400, "POST", "/greetings", b'{"name": ' + b"9" * 5000 + b"}", JSON),
        (400, "POST", "/greetings", b'{"name": 1e999}', JSON),
        (400, "POST", "/greetings", b'{"name": NaN}', JSON),
        (400, "POST", "/greetings", b"[" * 50_000, JSON),
        (400, "POST", "/greetings", b'{"name": "a\x00"}', JSON),
        (422, "POST", "/greetings", b"", JSON),
        (422, "POST", "/greetings", b"null", JSON),
        (422, "POST", "/greetings", b"[]", JSON),
        (422, "POST", "/greetings", b'{"name": 5}', JSON),
        (422, "POST", "/greetings", b'{"name": {}}', JSON),
        (422, "POST", "/greetings", b'{"name": "' + b"a" * 101 + b'"}', JSON),
        (500, "GET", "/probe/error", b"", {}),
    ],
)
def test_errors_are_problems(
    running: Running, status: int, method: str, path: str, body: bytes, headers: dict[str, Any]
) -> None:
    if "Transfer_Encoding" in headers:
        body = b"0\r\n\r\n"
    response, text = running.ask(path, method, body=body, **headers)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(text)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert not re.search(r"secret|Traceback|\.py|falcon|msgspec", text.decode())
    line = running.wait_for(logger="gunicorn.access", request_id=problem["request_id"])
    assert line["status"] == status
    errors = running.lines(level="error", request_id=problem["request_id"])
    assert len(errors) == (status == 500)
    for error in errors:
        assert error["exception"].startswith("Traceback (most recent call last):\n")
        assert error["exception"].endswith("RuntimeError: a secret\nof two lines")


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 101 + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nA\x00: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nA : a\r\n\r\n"),
        (400, b"GET /\r\n\r\n"),
        (400, b"\x16\x03\x01 nonsense\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (501, b"POST / HTTP/1.1\r\nTransfer-Encoding: bogus\r\n\r\n"),
    ],
)
def test_malformed_requests_are_refused(running: Running, status: int, data: bytes) -> None:
    head, _, _ = running.send(data).lower().partition(b"\r\n\r\n")
    assert head.startswith(b"http/1.1 %d " % status)
    assert b"\r\nconnection: close" in head


def test_a_large_body_is_refused_before_it_comes(service: Service, running: Running) -> None:
    head = b"POST /greetings HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n"
    for expect in (b"", b"Expect: 100-continue\r\n"):
        with running.connect() as connection:
            connection.sendall(head + expect + b"\r\n")
            if service.is_asgi:  # Falcon looks at the head when the first of the body is there
                connection.sendall(b"x")
            received = b""
            while b" 413 " not in received:
                data = connection.recv(4096)
                assert data
                received += data


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/../../etc/passwd", {404}),
        ("//", {200, 404}),
        ("//evil.example/", {404}),
        ("/./", {200, 404}),
        ("/%2e%2e/%2e%2e/etc/passwd", {404}),
        ("/livez/", {200, 404}),
        ("/%00", {404}),
        ("/%", {400, 404}),
        ("/%ff%c0%af", {400, 404}),
        ("/;a=b", {404}),
        ("/?" + "a=%00%ff&" * 500, {200}),
        ("/" + "a/" * 3000, {404}),
        ("http://evil.example/", {200, 400, 404}),
        ("http://evil.example/livez", {200, 400, 404}),
        ("*", {400, 404}),
        ("evil.example:80", {400, 404}),
    ],
)
def test_path_tricks_are_no_errors(running: Running, path: str, expected: set[int]) -> None:
    data = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    status, _, body = head_and_body(running.send(data))
    assert status in expected
    assert b"root:" not in body


def test_says_little_of_itself_and_forbids_much(running: Running) -> None:
    for path in ("/", "/nowhere", "/probe/error", "/api/openapi.json", "/api/docs"):
        headers = running.ask(path)[0].headers
        assert re.fullmatch(r"gunicorn(/asgi)?", headers["Server"])
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_other_methods(running: Running) -> None:
    response, body = running.ask("/", "OPTIONS")
    assert (response.status, body) == (200, b"")
    assert response.headers["Allow"] == "GET, HEAD"
    for path, length in (("/", 2), ("/livez", 4), ("/readyz", 5)):
        response, body = running.ask(path, "HEAD")
        assert (response.status, body) == (200, b"")
        assert response.headers["Content-Length"] == str(length)
    openapi = running.ask("/api/openapi.json")[1]
    response, body = running.ask("/api/openapi.json", "HEAD")
    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == str(len(openapi))
    assert b'"head"' not in openapi


def test_sends_parts_and_files_whole(service: Service, running: Running) -> None:
    response, body = running.ask("/probe/parts")
    assert body == b"onetwo"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["X-Probe"] == "parts"
    request = b"GET /probe/parts HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert running.send(request % 1).endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert running.send(request % 0).endswith(b"\r\n\r\nonetwo")
    answer = running.send(b"HEAD" + (request % 1)[3:])
    assert b"\r\nContent-Length: 6\r\n" in answer.title()
    assert answer.endswith(b"\r\n\r\n")
    source = f"src/{service.package}/probe.py"
    assert running.ask("/probe/file")[1].decode() == service.baked.read(source)


def test_an_answer_that_breaks_off_ends_no_worker(running: Running) -> None:
    workers = running.workers(2)
    answer = running.send(b"GET /probe/broken HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"one" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert "RuntimeError: broken" in running.wait_for(level="error")["exception"]
    assert running.ask("/")[0].status == 200
    assert running.workers() == workers


def test_counts_every_request_of_all_workers(running: Running) -> None:
    before = running.requests("/greetings")
    for number in range(40):
        body = b'{"name": "Ada"}' if number % 2 else b"{"
        running.ask("/greetings", "POST", body=body, **JSON)
    deadline = time.monotonic() + 5
    while running.requests("/greetings") < before + 40 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running.requests("/greetings") == before + 40
    series = running.metrics()
    name = "http_server_request_duration_seconds_count"
    for status in (200, 400):
        labels = (
            f'http_request_method="POST",http_response_status_code="{status}"'
            ',http_route="/greetings",url_scheme="http"'
        )
        assert series[f"{name}{{{labels}}}"] >= 20
    running.ask("/", "BREW")
    assert not [each for each in running.metrics() if "BREW" in each or "nowhere" in each]


def test_metrics_are_on_a_port_of_their_own(running: Running) -> None:
    assert running.ask("/metrics")[0].status == 404
    response, _ = running.ask("/metrics", port=9090)
    assert response.headers["Content-Type"].startswith("text/plain; version=")


def test_knows_the_build_and_its_processes(service: Service, running: Running) -> None:
    commit = service.baked.run("git", "rev-parse", "HEAD").stdout.strip()
    labels = f'revision="{commit}",version="{commit[:7]}"'
    metrics = running.metrics()
    assert metrics[f"{service.package}_build_info{{{labels}}}"] == 1
    processes = [name for name in metrics if name.startswith("process_open_fds")]
    assert len(processes) == 3
    for label in (name.removeprefix("process_open_fds") for name in processes):
        assert 10 << 20 < metrics[f"process_resident_memory_bytes{label}"] < 200 << 20
        assert metrics[f"process_cpu_seconds_total{label}"] > 0
        assert metrics[f"process_open_fds{label}"] > 0


def test_schemathesis_finds_no_failure(service: Service, running: Running, tmp_path: Path) -> None:
    address = f"http://{running.host}:8000/api/openapi.json"
    document = json.loads(running.ask("/api/openapi.json")[1])
    assert document["openapi"].startswith("3.1.")
    assert document == json.loads(service.baked.read("openapi.json"))
    result = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", address, "--max-examples=50"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "No issues found" in result.stdout
    assert running.requests("/greetings") > 50


def test_check_config(service: Service) -> None:
    def check(*options: str) -> subprocess.CompletedProcess[str]:
        run = ["docker", "run", "--rm", "--read-only", *options, service.image]
        return subprocess.run(
            [*run, "gunicorn", "--check-config"], capture_output=True, text=True, check=False
        )

    assert check().returncode == 0
    bad = check("--env=DRAIN_SECONDS=soon")
    assert bad.returncode == 1
    (line,) = map(json.loads, (bad.stdout + bad.stderr).splitlines())
    assert line["message"] == "DRAIN_SECONDS is 'soon': it must be a number from 0 to 20"


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to it as OTLP over HTTP."""

    address: str
    received: list[bytes]


class CollectorHandler(BaseHTTPRequestHandler):
    """Answers for Collector."""

    server: Collector

    def do_POST(self) -> None:  # noqa: D102
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Collect on the address that containers know as their gateway."""
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    with serving(Collector((gateway, 0), CollectorHandler)) as server:
        server.address = f"http://{gateway}:{server.server_port}"
        server.received = []
        yield server


def test_sends_traces_to_a_collector(
    service: Service, bake: BakeFunction, collector: Collector
) -> None:
    interface = service.baked.answers["interface"]
    baked = bake(project_slug=f"traced-{interface}", interface=interface)
    add_probe(baked)
    makefile = baked.path / "Makefile"
    makefile.write_text(makefile.read_text().replace("EXTRAS ?=\n", "EXTRAS ?= otel\n"))
    baked.make("lock")
    baked.make("docker")
    traced = Service(baked, f"traced-{interface}:latest")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given: dict[str, Any] = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    body = b'{"name": "Ada"}'
    with traced.run(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
        OTEL_BSP_SCHEDULE_DELAY="100",
        WEB_CONCURRENCY="2",
    ) as running:
        running.ask("/livez", X_Request_ID="probe", **given)
        running.ask("/greetings", "POST", body=body, X_Request_ID="given", **JSON, **given)
        running.ask("/greetings", "POST", body=body, X_Request_ID="made", **JSON)
        logged = [running.wait_for(request_id=each)["trace_id"] for each in ("given", "made")]
        assert logged[0] == trace
        assert re.fullmatch("[0-9a-f]{32}", logged[1])
        ids = [bytes.fromhex(each) for each in logged]
        deadline = time.monotonic() + 10
        while not all(each in b"".join(collector.received) for each in ids):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        spans = b"".join(collector.received)
        assert b"POST /greetings" in spans
        assert b"http.route" in spans
        assert b"/livez" not in spans
        assert baked.answers["project_slug"].encode() in spans
        assert not running.lines(level="error")
    with traced.run() as running:
        modules = json.loads(running.ask("/probe/modules")[1])
        assert "falcon" in modules
        assert not [name for name in modules if name.startswith(("opentelemetry", "google"))]


def test_says_that_it_cannot_trace(service: Service) -> None:
    """Its variables ask for traces, but the extra is not installed."""
    with service.run(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", WEB_CONCURRENCY="1"
    ) as running:
        assert running.ask("/")[0].status == 200
        (line,) = running.lines(level="warning")
        assert line["logger"] == f"{service.package}.serving.tracing"
        assert "the extra otel is not installed" in line["message"]


def test_watch_serves_what_is_saved(service: Service) -> None:
    baked, port = service.baked, free_port()
    compose = ("docker", "compose", "--file=compose.yaml", "--file=compose.dev.yaml")
    variables = {"PORT": str(port), "METRICS_PORT": str(free_port()), "WEB_CONCURRENCY": "1"}
    package = baked.path / "src" / service.package
    hello, settings = package / "hello.py", package / "settings.py"
    before = {path: path.read_text() for path in (hello, settings)}

    def wait_for(status: int, text: str, path: str = "/", body: bytes | None = None) -> None:
        url = f"http://127.0.0.1:{port}{path}"
        request = Request(url, body, {"Content-Type": "application/json"})
        deadline = time.monotonic() + 60
        while (got := get(request, 60))[0] != status or text not in got[1]:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    watch = subprocess.Popen(
        [*compose, "up", "--watch"],
        cwd=baked.path,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert watch.stdout
    try:
        while "Watch enabled" not in (line := watch.stdout.readline()):
            assert line
        wait_for(200, "hi")
        hello.write_text(f"{before[hello]}\nabsent\n")
        while "NameError: name 'absent'" not in (line := watch.stdout.readline()):
            assert line
        threading.Thread(target=watch.stdout.read, daemon=True).start()
        hello.write_text(before[hello].replace('"hi"', '"hello"'))
        wait_for(200, "hello")
        # gunicorn.conf.py imports it
        settings.write_text(f"{before[settings]}\n    max_body_bytes: int = 4\n")
        wait_for(413, "", "/greetings", b'{"name": "Ada"}')
    finally:
        for path, text in before.items():
            path.write_text(text)
        watch.terminate()
        watch.wait()
        baked.run(*compose, "down", "--volumes", "--timeout=0", **variables)


def test_has_no_page_of_the_interface(service: Service, running: Running) -> None:
    assert running.ask("/api/docs")[0].status == 404
    command = ["docker", "run", "--rm", service.image, "python3", "-c", "import {}"]
    for module in ("dev", "offapi"):
        command[-1] = f"import {module}"
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"No module named '{module}'" in result.stderr


# Shows what it could read of the answers: the greeting or the status, and the ID of the request.
# A header that it sends asks for leave first, which there is for a route alone.
PAGE = """<!doctype html><script type="module">
const id = {"X-Request-ID": "canary"}
const post = {method: "POST", headers: {...id, "Content-Type": "application/json"}}
const lines = []
for (const [path, request] of [
  ["/greetings", {...post, body: '{"name": "Ada"}'}],
  ["/greetings", {...post, body: '{}'}],
  ["/greetings", {...post, body: " ".repeat(101)}],
  ["/probe/error", {headers: id}],
  ["/nowhere", {}],
]) {
  try {
    const answer = await fetch("SERVICE" + path, request)
    const text = answer.ok ? (await answer.json()).text : answer.status
    lines.push(`${text} ${answer.headers.get("X-Request-ID")}`)
  } catch (error) {
    lines.push(error)
  }
}
document.body.innerHTML = `<pre id="read">${lines.join("\\n")}</pre>`
</script>"""


def test_pages_of_origins_that_are_set_may_read_answers(
    service: Service, browser: None, tmp_path: Path
) -> None:
    page = tmp_path / "index.html"
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as pages:
        origins = [f"http://{host}:{pages.server_port}" for host in ("127.0.0.1", "localhost")]
        setting = f"https://a.example,{origins[0]}"
        with service.run(CORS_ALLOW_ORIGINS=setting, MAX_BODY_BYTES="100") as running:
            page.write_text(PAGE.replace("SERVICE", f"http://{running.host}:8000"))
            read, refused = [browse(tmp_path, f"{origin}/", "#read").text for origin in origins]
    *known, missing = read.splitlines()
    assert known == ["hi Ada canary", "422 canary", "413 canary", "500 canary"]
    assert re.fullmatch("404 [0-9a-f]{32}", missing)
    assert refused.splitlines() == ["TypeError: Failed to fetch"] * 5
