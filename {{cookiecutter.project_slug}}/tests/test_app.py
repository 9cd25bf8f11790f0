"""The application answers as its users expect."""

import json

import pytest
from falcon import HTTP_SERVICE_UNAVAILABLE
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import App
{%- else %}, App
{%- endif %}
from falcon.testing import TestClient

from {{ cookiecutter.__package_name }} import health
from {{ cookiecutter.__package_name }}.app import create_app, describe
from {{ cookiecutter.__package_name }}.health import Ready
from {{ cookiecutter.__package_name }}.middleware import Observer
from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.fixture
def client() -> TestClient:
    return TestClient(Observer(create_app(Settings(max_body_bytes=100_000))))


@pytest.mark.parametrize(("path", "text"), [("/", "hi"), ("/livez", "live"), ("/readyz", "ready")])
def test_answers(client: TestClient, path: str, text: str) -> None:
    response = client.simulate_get(path)
    assert response.status_code == 200
    assert response.text == text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_greets_a_guest(client: TestClient) -> None:
    response = client.simulate_post("/greetings", json={"name": "Ada"})
    assert response.status_code == 200
    assert response.json == {"text": "hi Ada"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, ""),
        (b"{}", 422, ""),
        (b'{"name": ""}', 422, "name"),
        (b'{"name": 1e400}', 400, None),
        (b'{"name": 1}', 422, "name"),
        (b'{"name": "Ada", "age": 36}', 422, ""),
        (b'{"name"', 400, None),
        (b'{"name": "\xff"}', 400, None),
        (b"[" * 50_000, 400, None),
        (b" " * 100_001, 413, None),
    ],
)
def test_refuses_what_is_no_guest(
    client: TestClient, body: bytes, status: int, field: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.simulate_post("/greetings", body=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["request_id"] == response.headers["x-request-id"]
    assert [error["field"] for error in response.json.get("errors", [])] == (
        [] if field is None else [field]
    )


def test_refuses_a_body_of_unknown_length(client: TestClient) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    response = client.simulate_post("/greetings", headers=headers)
    assert response.status_code == 411


def test_refuses_other_methods_and_paths(client: TestClient) -> None:
    for response, status in (
        (client.simulate_post("/"), 405),
        (client.simulate_get("/nowhere"), 404),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json["status"] == status


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("", False), ("x" * 129, False), ('"}', False)]
)
def test_keeps_the_id_of_a_request(client: TestClient, given: str, kept: bool) -> None:
    response = client.simulate_get("/", headers={"X-Request-ID": given})
    assert (response.headers["x-request-id"] == given) is kept


{% if cookiecutter.interface == "asgi" -%}
async def passes() -> bool:
    return True


async def fails() -> bool:
    return False
{%- else -%}
def passes() -> bool:
    return True


def fails() -> bool:
    return False
{%- endif %}


def test_is_not_ready_while_a_check_fails() -> None:
    app = App()
    app.add_route("/readyz", Ready(checks=[passes, fails]))
    response = TestClient(app).simulate_get("/readyz")
    assert response.status == HTTP_SERVICE_UNAVAILABLE
    assert response.text == "not ready"


def test_is_not_ready_before_it_stops(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_draining", [1])
    assert client.simulate_get("/readyz").status == HTTP_SERVICE_UNAVAILABLE
    assert client.simulate_get("/livez").status_code == 200


def test_tells_nothing_of_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        {{ cookiecutter.__async }}def on_get(self, _req: object, _resp: object) -> None:
            raise RuntimeError("secret")

    app = create_app(Settings())
    app.add_route("/broken", Broken())
    response = TestClient(app).simulate_get("/broken")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert "RuntimeError: secret" in caplog.text


def test_describes_itself() -> None:
    document = json.loads(describe())
    assert document["openapi"].startswith("3.1")
    answers = document["paths"]["/greetings"]["post"]["responses"]
    assert list(answers["200"]["content"]) == ["application/json"]
    assert list(answers["422"]["content"]) == ["application/problem+json"]
