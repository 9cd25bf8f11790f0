"""Errors and traces arrive at a server that takes what Sentry and OTLP backends take."""

import gzip
import json
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from images import config, docker
from pages import Recipe
from servers import Handler, serving
from services import Running, add_probe

pytestmark = pytest.mark.image

# Prints OTLP's protobuf as JSON, with what the service's image has for it.
DECODE = """
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
print(MessageToJson(service.ExportTraceServiceRequest.FromString(bytes.fromhex("{}"))))
"""


class Backend(ThreadingHTTPServer):
    """Keeps what it is sent; answers envelopes, and traces, only while it is to."""

    def __init__(self, host: str) -> None:
        """Listen on a free port."""
        super().__init__((host, 0), BackendHandler)
        self.received: list[tuple[str, bytes]] = []
        self.answers = {"envelope": threading.Event(), "traces": threading.Event()}
        for event in self.answers.values():
            event.set()
        address = f"{host}:{self.server_port}"
        self.variables: dict[str, Any] = {
            "SENTRY_DSN": f"http://key@{address}/42",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}/api/42/integration/otlp",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-sentry-auth=sentry sentry_key=key",
            "WEB_CONCURRENCY": "1",
            "THREADS": "1",
        }

    def bodies(self, path: str) -> list[bytes]:
        """Return what has come to a path."""
        return [body for came_to, body in list(self.received) if came_to == path]

    def events(self) -> list[dict[str, Any]]:
        """Return what has come as Sentry's envelopes: a head, and one event with a head."""
        envelopes = [body.splitlines() for body in self.bodies("/api/42/envelope/")]
        assert all(len(envelope) == 3 for envelope in envelopes)
        return [json.loads(event) for _, _, event in envelopes]

    def spans(self, image: str) -> dict[str, dict[str, Any]]:
        """Return the spans of requests that have come by OTLP, by name."""
        found: dict[str, dict[str, Any]] = {}
        for body in self.bodies("/api/42/integration/otlp/v1/traces"):
            code = DECODE.format(body.hex())
            traces = json.loads(docker("run", "--rm", image, "python3", "-c", code))
            for scope in traces["resourceSpans"][0]["scopeSpans"]:
                # ASGI's messages have spans of their own
                found |= {
                    it["name"]: it for it in scope["spans"] if it["kind"] == "SPAN_KIND_SERVER"
                }
        return found


class BackendHandler(Handler):
    """Answers for Backend."""

    server: Backend

    def do_POST(self) -> None:  # noqa: D102, N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        assert "sentry_key=key" in self.headers["X-Sentry-Auth"]
        self.server.received.append((self.path, body))
        self.server.answers[self.path.strip("/").rpartition("/")[2]].wait(60)
        self.answer(200, b"")


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Yield one on the address that containers know as their gateway."""
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    with serving(Backend(gateway)) as server:
        yield server
        for event in server.answers.values():
            event.set()


@pytest.fixture(scope="module")
def options(recipe: Recipe) -> list[str]:
    """Return what adds the routes of the tests to the image that the page made.

    A health check that a busy machine ends too early would be one more error.
    """
    add_probe(recipe.baked)
    path = f"src/{recipe.package}/probe.py"
    return [f"--volume={recipe.baked.path}/{path}:/app/{path}:ro", "--no-healthcheck"]


def fail(running: Running) -> str:
    """Have an error that no one foresaw, of a request full of secrets, and return its ID."""
    response, _ = running.ask(
        "/probe/error?key=canary-query",
        body=b"canary-body",
        Authorization="Bearer canary-token",
        Cookie="session=canary-cookie",
    )
    assert response.status == 500
    return str(response.headers["X-Request-ID"])


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


def test_an_error_is_sent_once(recipe: Recipe, options: list[str], backend: Backend) -> None:
    """To Sentry, and on the span of its request; what a client does wrong is none."""
    with recipe.run(*options, SENTRY_ENVIRONMENT="staging", **backend.variables) as running:
        assert running.ask("/nowhere")[0].status == 404
        body, kind = b'{"name": ""}', "application/json"
        assert running.ask("/greetings", "POST", body=body, Content_Type=kind)[0].status == 422
        running.ask("/probe/log")
        request_id = fail(running)
        line = running.wait_for(request_id=request_id, level="error")
        assert running.stop()[0] == 0
    (event,) = backend.events()
    (error,) = event["exception"]["values"]
    assert error["type"] == "RuntimeError"
    assert error["stacktrace"]["frames"][-1]["function"] == "on_get_error"
    assert f"VERSION={event['release']}" in config(recipe.image)["Env"]
    assert event["environment"] == "staging"
    assert event["transaction"] == "/probe/error"
    assert event["tags"] == {"request_id": request_id}
    assert event["contexts"]["trace"]["trace_id"] == line["trace_id"]
    assert not event["breadcrumbs"]["values"]
    assert "canary" not in json.dumps(event)

    spans = backend.spans(recipe.image)
    assert set(spans) == {"GET /nowhere", "POST /greetings", "GET /probe/log", "GET /probe/error"}
    span = spans.pop("GET /probe/error")
    assert b64decode(span["traceId"]).hex() == line["trace_id"]
    assert span["status"] == {"code": "STATUS_CODE_ERROR"}
    assert {"key": "http.route", "value": {"stringValue": "/probe/error"}} in span["attributes"]
    assert [each["name"] for each in span["events"]] == ["exception"]
    assert "in on_get_error" in json.dumps(span["events"])
    assert not any(each["status"] or "events" in each for each in spans.values())


def test_no_request_waits_for_sentry(recipe: Recipe, options: list[str], backend: Backend) -> None:
    """But a worker that ends does, for what came last."""
    backend.answers["envelope"].clear()
    # a stop waits for traces, too
    variables = backend.variables | {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    with recipe.run(*options, **variables) as running:
        failed = [fail(running) for _ in range(3)]
        command = ["docker", "logs", "--follow", running.id]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as logs:
            docker("kill", "--signal=TERM", running.id)
            assert logs.stdout
            assert any("Worker exiting" in line for line in logs.stdout)
            time.sleep(0.5)
            backend.answers["envelope"].set()
        assert docker("wait", running.id) == "0"
        # which are JSON, each
        assert len(running.lines(level="error")) == 3
    assert [event["tags"]["request_id"] for event in backend.events()] == failed


def test_no_request_waits_for_traces(recipe: Recipe, options: list[str], backend: Backend) -> None:
    """A stop does, and ends in time; that traces are lost is no error for Sentry."""
    backend.answers["traces"].clear()
    with recipe.run(*options, DRAIN_SECONDS="5", **backend.variables) as running:
        failed = [fail(running) for _ in range(5)]
        assert running.stop()[0] == 0  # it would be killed after 30 seconds
        logger = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
        assert running.lines(logger=logger, level="error")
    assert [event["tags"]["request_id"] for event in backend.events()] == failed


def test_ends_in_time_without_sentry(recipe: Recipe, options: list[str], backend: Backend) -> None:
    backend.answers["envelope"].clear()
    with recipe.run(*options, **backend.variables) as running:
        fail(running)
        assert running.stop()[0] == 0


def test_is_off_unless_it_is_set(recipe: Recipe) -> None:
    code = f"from {recipe.package}.app import serve; serve()\nimport sentry_sdk as sdk\n"
    code += "print(sdk.is_initialized())"
    assert docker("run", "--rm", recipe.image, "python3", "-c", code) == "False"


def test_refuses_a_bad_address(recipe: Recipe) -> None:
    status, printed = recipe.fail(SENTRY_DSN="https://sentry.example/42")
    assert status == 1
    (line,) = map(json.loads, printed.splitlines())
    assert line["message"].startswith("SENTRY_DSN is 'https://sentry.example/42': it must be ")


def test_compose_passes_the_variables_on(recipe: Recipe) -> None:
    variables = {"SENTRY_DSN": "https://key@sentry.example/42", "SENTRY_ENVIRONMENT": "staging"}
    found = json.loads(recipe.compose("config", "--format=json", **variables))
    (service,) = found["services"].values()
    assert variables.items() <= service["environment"].items()
