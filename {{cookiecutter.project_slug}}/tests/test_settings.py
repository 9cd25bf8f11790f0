"""The settings come from the environment, or stop the start in one line."""

import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from {{ cookiecutter.__package_name }}.settings import SettingError, Settings


def test_defaults() -> None:
    assert Settings.from_environment({"PORT": ""}) == Settings()


def test_environment_wins() -> None:
    environment = {"PORT": "8080", "LOG_LEVEL": "debug", "RELOAD": "true", "HOME": "/"}
    expected = Settings(port=8080, log_level="debug", reload=True)
    assert Settings.from_environment(environment) == expected


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PORT", "0", "a number from 1 to 65535"),
        ("PORT", "65536", "a number from 1 to 65535"),
        ("PORT", "http", "a number from 1 to 65535"),
        ("PORT", "８０００", "a number from 1 to 65535"),
        ("PORT", "9" * 5000, "a number from 1 to 65535"),
        ("METRICS_PORT", "-1", "a number from 0 to 65535"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error, critical"),
        ("LOG_FORMAT", "xml", "one of auto, json, text"),
        ("WEB_CONCURRENCY", "513", "a number from 0 to 512"),
        ("DRAIN_SECONDS", "21", "a number from 0 to 20"),
        ("MAX_BODY_BYTES", "1e99", "a number from 0 to 2147483648"),
        ("RELOAD", "maybe", "true or false"),
    ],
)
def test_refuses_what_breaks_a_rule(name: str, value: str, rule: str) -> None:
    line = re.escape(f"{name} is {value!r}: it must be {rule}")
    with pytest.raises(SettingError, match=f"^{line}$"):
        Settings.from_environment({name: value})


def test_readme_has_them_all() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \|", readme, re.MULTILINE))
    settings = {field.encode_name: str(field.default).lower() for field in fields(Settings)}
    assert {name: documented.get(name) for name in settings} == settings
