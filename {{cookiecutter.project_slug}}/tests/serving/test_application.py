"""Every application has what a service needs."""

import sys

import pytest
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}
from falcon import Request, Response
{%- endif %}
from falcon.testing import TestClient

from {{ cookiecutter.__package_name }}.serving import stopping
from {{ cookiecutter.__package_name }}.serving.application import App, add_probes, new_app
from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings


class Things:
    {{ cookiecutter.__async }}def on_post(self, req: Request, resp: Response) -> None:
        resp.media = {{ "await " if cookiecutter.interface == "asgi" }}req.get_media()

    {{ cookiecutter.__async }}def on_get(self, _req: Request, _resp: Response) -> None:
        raise RuntimeError("secret")

    {{ cookiecutter.__async }}def on_put(self, _req: Request, resp: Response) -> None:
        resp.cache_control = ["public", "max-age=60"]

    {{ cookiecutter.__async }}def on_delete(self, _req: Request, _resp: Response) -> None:
        sys.exit(3)


{{ cookiecutter.__async }}def passes() -> bool:
    return True


{{ cookiecutter.__async }}def fails() -> bool:
    return False


@pytest.fixture
def app() -> App:
    app = new_app(ServerSettings(max_body_bytes=100_000))
    app.add_route("/things", Things())
    return app


@pytest.fixture
def client(app: App) -> TestClient:
    return TestClient(app)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name": 1e400}', 400),
        (b'{"name"', 400),
        (b'{"name": "\xff"}', 400),
        (b"[" * 50_000, 400),
        (b" " * 100_001, 413),
    ],
)
def test_errors_are_problem_documents(client: TestClient, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.simulate_post("/things", body=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["request_id"] == response.headers["x-request-id"]


def test_refuses_other_methods_and_paths(client: TestClient) -> None:
    for response, status in (
        (client.simulate_patch("/things"), 405),
        (client.simulate_get("/nowhere"), 404),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json["status"] == status


def test_answers_head_as_get_without_the_body(app: App) -> None:
    add_probes(app, checks=[])
    response = TestClient(app).simulate_head("/livez")
    assert response.status_code == 200
    assert response.headers["content-length"] == "4"
    assert response.text == ""


def test_a_responder_cannot_end_the_service(client: TestClient) -> None:
    assert client.simulate_delete("/things").status_code == 500


def test_tells_nothing_of_an_error(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.simulate_get("/things")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert "RuntimeError: secret" in caplog.text


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("", False), ("x" * 129, False), ('"}', False)]
)
def test_keeps_the_id_of_a_request(client: TestClient, given: str, kept: bool) -> None:
    response = client.simulate_get("/nowhere", headers={"X-Request-ID": given})
    assert (response.headers["x-request-id"] == given) is kept


def test_headers_of_a_resource_replace_the_defaults(client: TestClient) -> None:
    headers = client.simulate_put("/things").headers
    assert headers["cache-control"] == "public, max-age=60"
    assert headers["x-content-type-options"] == "nosniff"
    assert client.simulate_get("/nowhere").headers["cache-control"] == "no-store"


def test_is_live_and_ready_when_all_checks_pass(app: App) -> None:
    add_probes(app, checks=[passes, passes])
    client = TestClient(app)
    assert client.simulate_get("/livez").text == "live"
    assert client.simulate_get("/readyz").text == "ready"


def test_is_not_ready_while_a_check_fails(app: App) -> None:
    add_probes(app, checks=[passes, fails])
    response = TestClient(app).simulate_get("/readyz")
    assert response.status_code == 503
    assert response.text == "not ready"


def test_is_not_ready_before_it_stops(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_draining", [1])
    add_probes(app, checks=[passes])
    client = TestClient(app)
    assert client.simulate_get("/readyz").status_code == 503
    live = client.simulate_get("/livez")
    assert live.status_code == 200
    assert live.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("setting", "allowed", "vary"),
    [
        ("", None, None),
        ("*", "*", None),
        ("https://a.example,https://b.example", "https://b.example", "Origin"),
        ("https://a.example", None, "Origin"),
    ],
)
def test_pages_of_origins_that_are_set_may_read_answers(
    setting: str, allowed: str | None, vary: str | None
) -> None:
    app = new_app(ServerSettings(cors_allow_origins=setting))
    app.add_route("/things", Things())
    headers = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
    client = TestClient(app, headers=headers)
    preflight = client.simulate_options("/things")
    for response in (preflight, client.simulate_get("/things"), client.simulate_get("/nowhere")):
        assert response.headers.get("access-control-allow-origin") == allowed
        assert response.headers.get("access-control-expose-headers") == (allowed and "X-Request-ID")
        assert response.headers.get("vary") == vary
    assert ("POST" in preflight.headers.get("access-control-allow-methods", "")) is bool(allowed)
