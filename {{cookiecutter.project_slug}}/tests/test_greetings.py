"""Greetings are made for valid guests."""

import json

import pytest
from falcon.testing import TestClient

from {{ cookiecutter.__package_name }}.app import create_app, describe
from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(Settings()))


def test_greets_a_guest(client: TestClient) -> None:
    response = client.simulate_post("/greetings", json={"name": "Ada"})
    assert response.status_code == 200
    assert response.json == {"text": "hi Ada"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{}", ""),
        (b'{"name": ""}', "name"),
        (b'{"name": 1}', "name"),
        (b'{"name": "Ada", "age": 36}', ""),
    ],
)
def test_refuses_an_invalid_guest(client: TestClient, body: bytes, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.simulate_post("/greetings", body=body, headers=headers)
    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_is_described() -> None:
    document = json.loads(describe())
    assert document["openapi"].startswith("3.1")
    answers = document["paths"]["/greetings"]["post"]["responses"]
    assert list(answers["200"]["content"]) == ["application/json"]
    assert list(answers["422"]["content"]) == ["application/problem+json"]
