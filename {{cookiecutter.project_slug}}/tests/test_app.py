"""The application answers as its users expect."""

import pytest
from falcon import HTTP_METHOD_NOT_ALLOWED, HTTP_NOT_FOUND, HTTP_OK, HTTP_SERVICE_UNAVAILABLE, App
from falcon.testing import TestClient

from {{ cookiecutter.__package_name }}.app import create_app
from {{ cookiecutter.__package_name }}.health import Ready


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app())


@pytest.mark.parametrize(("path", "text"), [("/", "hi"), ("/livez", "live"), ("/readyz", "ready")])
def test_answers(client: TestClient, path: str, text: str) -> None:
    response = client.simulate_get(path)
    assert response.status == HTTP_OK
    assert response.text == text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_is_not_ready_while_a_check_fails() -> None:
    app = App()
    app.add_route("/readyz", Ready(checks=[lambda: True, lambda: False]))
    response = TestClient(app).simulate_get("/readyz")
    assert response.status == HTTP_SERVICE_UNAVAILABLE
    assert response.text == "not ready"


def test_refuses_other_methods_and_paths(client: TestClient) -> None:
    assert client.simulate_post("/").status == HTTP_METHOD_NOT_ALLOWED
    assert client.simulate_get("/nowhere").status == HTTP_NOT_FOUND
