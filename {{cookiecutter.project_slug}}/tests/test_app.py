"""The service answers as its users expect."""

import pytest
from falcon.testing import TestClient

from {{ cookiecutter.__package_name }}.app import create_app
from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(Settings()))


def test_says_hi(client: TestClient) -> None:
    response = client.simulate_get("/")
    assert response.status_code == 200
    assert response.text == "hi"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_is_ready(client: TestClient) -> None:
    assert client.simulate_get("/readyz").status_code == 200
