"""The models of a resource check its requests, and describe it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
{% if cookiecutter.interface == "asgi" -%}
from falcon.asgi import Request, Response
{%- else -%}
from falcon import Request, Response
{%- endif %}
from falcon.testing import Result, TestClient
from msgspec import Struct, defstruct

from {{ cookiecutter.__package_name }}.serving.application import new_app
from {{ cookiecutter.__package_name }}.serving.openapi import Answers, api, name_of
from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings

ROOT = Path(__file__).parents[2]


class Thing(Struct):
    name: str


T = TypeVar("T")


class Box(Struct, Generic[T]):
    inside: T


# a model of another module that has the same name
Other = defstruct("Thing", [("size", int)], module="other")


class Things:
    @api.validate(resp=Answers(HTTP_200=Thing, HTTP_404=None, HTTP_409=(None, "taken")))
    {{ cookiecutter.__async }}def on_post(self, _req: Request, resp: Response, json: Thing) -> None:
        resp.media = json

    @api.validate(resp=Answers(HTTP_200=Thing))
    {{ cookiecutter.__async }}def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"name": 5}


def client() -> TestClient:
    app = new_app(ServerSettings())
    app.add_route("/things", Things())
    return TestClient(app)


def post(body: dict[str, Any]) -> Result:
    return client().simulate_post("/things", json=body)


def test_takes_what_fits_the_model() -> None:
    response = post({"name": "lamp"})
    assert response.status_code == 200
    assert response.json == {"name": "lamp"}


def test_refuses_what_does_not() -> None:
    response = post({"name": 5})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["errors"] == [{"field": "name", "rule": "Expected `str`, got `int`"}]


def test_tells_nothing_of_an_answer_that_breaks_its_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = client().simulate_get("/things")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json.keys() == {"title", "status", "request_id"}
    assert "Expected `str`, got `int`" in caplog.text


def test_describes_an_answer_with_and_without_a_model() -> None:
    answers = Answers(HTTP_200=Thing, HTTP_404=None, HTTP_409=(None, "taken"))
    answers.bind_model_adapter(api.model_adapter)
    described = answers.generate_spec()
    assert list(described["200"]["content"]) == ["application/json"]
    for status in ("404", "409", "422"):
        assert list(described[status]["content"]) == ["application/problem+json"]
    assert described["409"]["description"] == "taken"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Thing, "Thing"),
        (Other, "other_Thing"),
        (Box[int], "Box_int_"),
        (Box[Thing], "Box_Thing_"),
        (list[Thing], "list_Thing_"),
        (api.model_adapter.make_list_model(Thing), "list_Thing_"),
        (Thing | None, "Thing_None"),
    ],
)
def test_each_model_has_a_name_of_its_own(model: object, name: str) -> None:
    assert name_of(model) == name


def test_takes_statuses_without_a_model() -> None:
    answers = Answers("HTTP_204", "HTTP_404")
    answers.bind_model_adapter(api.model_adapter)
    described = answers.generate_spec()
    assert "content" not in described["204"]
    assert list(described["404"]["content"]) == ["application/problem+json"]


def test_openapi_json_is_up_to_date() -> None:
    written = (ROOT / "openapi.json").read_text(encoding="utf-8")
    # in a process of its own, which does not know the models above
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from {{ cookiecutter.__package_name }}.app import describe; print(describe())",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        check=True,
    )
    assert written == result.stdout.decode(), "run make openapi"
