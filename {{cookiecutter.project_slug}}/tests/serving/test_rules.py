"""A variable that breaks its rule is refused in one line."""

import re
from typing import Annotated

import pytest
from msgspec import Meta

from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings, SettingError

ORIGINS = r"a text that matches ^(\*|([a-z-]+://[a-z0-9.:\[\]-]+(,\b|$))+)$"


class Examples(ServerSettings, frozen=True, kw_only=True):
    guests: Annotated[int, Meta(ge=1)] = 1
    ratio: Annotated[float, Meta(le=1)] = 0.5
    loud: bool = False
    greeting: Annotated[str, Meta(max_length=3)] = "hi"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PORT", "0", "a number from 1 to 65535"),
        ("PORT", "65536", "a number from 1 to 65535"),
        ("PORT", "http", "a number from 1 to 65535"),
        ("PORT", "８０００", "a number from 1 to 65535"),
        ("PORT", "9" * 5000, "a number from 1 to 65535"),
        ("WEB_CONCURRENCY", "-1", "a number from 0 to 512"),
        ("LOG_LEVEL", "loud", "one of critical, debug, error, info, warning"),
        ("LOG_FORMAT", "xml", "one of auto, json, text"),
        ("WEB_CONCURRENCY", "513", "a number from 0 to 512"),
        ("DRAIN_SECONDS", "21", "a number from 0 to 20"),
        ("MAX_BODY_BYTES", "1e99", "a number from 0 to 2147483648"),
        ("LOUD", "maybe", "true or false"),
        ("GUESTS", "0", "a number from 1"),
        ("RATIO", "1.5", "a number to 1"),
        ("SCRIPT_NAME", "api", "a text that matches ^(/[^/]+)*$"),
        ("CORS_ALLOW_ORIGINS", "example.com", ORIGINS),
        ("CORS_ALLOW_ORIGINS", "https://example.com/", ORIGINS),
        ("CORS_ALLOW_ORIGINS", "https://*.example.com", ORIGINS),
        ("CORS_ALLOW_ORIGINS", "https://a.example,", ORIGINS),
        ("CORS_ALLOW_ORIGINS", "https://a.example,*", ORIGINS),
        ("GREETING", "hello", "a text of at most 3 characters"),
    ],
)
def test_refuses_what_breaks_a_rule(name: str, value: str, rule: str) -> None:
    line = re.escape(f"{name} is {value!r}: it must be {rule}")
    with pytest.raises(SettingError, match=f"^{line}$"):
        Examples.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("LOG_LEVEL", "ERROR", "log_level", "error"),
        ("LOG_LEVEL", "warn", "log_level", "warning"),
        ("LOG_FORMAT", "Json", "log_format", "json"),
        ("LOUD", "1", "loud", True),
        ("PORT", "tcp://10.96.0.5:9090", "port", 8000),
        ("PORT", "", "port", 8000),
    ],
)
def test_takes_what_a_variable_means_elsewhere(
    name: str, value: str, field: str, expected: object
) -> None:
    assert getattr(Examples.from_environment({name: value}), field) == expected
