"""Whatever is logged, and whatever goes wrong with it, is one JSON object a line."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

START = """
import logging
from {{ cookiecutter.__package_name }}.serving import logs
from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings

class Awkward:
    def __str__(self):
        raise RuntimeError("awkward")

circle = {}
circle["itself"] = circle
logs.configure(ServerSettings(log_format="json"))
"""


def refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def printed(statement: str) -> list[dict[str, Any]]:
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", START + statement],
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return [json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("float('nan')", "nan"),
        ("{(1, 2): 3}", "{(1, 2): 3}"),
        ("circle", "{'itself': {...}}"),
        ("b'hi'", "b'hi'"),
        ("'\\udc80'", "\udc80"),
    ],
)
def test_holds_fields_that_json_cannot(value: str, text: str) -> None:
    (line,) = printed(f"logging.error('two\\nlines', extra=dict(field={value}))")
    assert line["message"] == "two\nlines"
    assert line["field"] == text


@pytest.mark.parametrize(
    "arguments", ["'a', 5", "'%d', 'five'", "'%s', Awkward()", "'hi', extra=dict(field=Awkward())"]
)
def test_says_where_a_line_is_wrong(arguments: str) -> None:
    (line,) = printed(f"logging.error({arguments})")
    assert line["level"] == "error"
    assert line["message"].startswith("no line from <string>:")
    assert "Error: " in line["exception"]


def test_holds_a_stack_that_is_asked_for() -> None:
    (line,) = printed("logging.error('hi', stack_info=True)")
    assert line["stack"].startswith("Stack (most recent call last):")


def test_holds_an_error_that_ends_a_thread() -> None:
    (line,) = printed("import threading; threading.Thread(target=circle.update, args=[1]).start()")
    assert line["level"] == "error"
    assert "TypeError" in line["exception"]
