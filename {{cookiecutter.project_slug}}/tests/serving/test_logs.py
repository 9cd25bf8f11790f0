"""Whatever is logged, and whatever goes wrong with it, is one JSON object a line."""

import json
import subprocess
import sys
from typing import Any

import pytest

START = """
import logging, sys, threading
from {{ cookiecutter.__package_name }}.serving import logs
from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings

class Awkward:
    def __str__(self):
        raise RuntimeError("awkward")

    def __del__(self):
        raise RuntimeError("in vain")

circle = {}
circle["itself"] = circle
logs.configure(ServerSettings(log_format="json"))
"""


def refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def printed(statement: str) -> list[dict[str, Any]]:
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", START + statement],
        env={"PYTHONPATH": ":".join(sys.path)},
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
    line = printed(f"logging.error({arguments})")[0]
    assert line["level"] == "error"
    assert line["message"].startswith("no line from <string>:")
    assert "Error: " in line["exception"]


def test_holds_the_errors_of_threads_and_of_what_cannot_raise() -> None:
    lines = printed(
        "threading.Thread(target=int, args=['five']).start()\n"
        "threading.Thread(target=sys.exit, args=[1]).start()\n"
        "Awkward()\n"
    )
    errors = [line["exception"].splitlines()[-1] for line in lines]
    assert errors == [
        "ValueError: invalid literal for int() with base 10: 'five'",
        "RuntimeError: in vain",
    ]


def test_holds_a_stack_that_is_asked_for() -> None:
    (line,) = printed("logging.error('hi', stack_info=True)")
    assert line["stack"].startswith("Stack (most recent call last):")
