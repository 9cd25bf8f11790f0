"""The settings come from the environment; README.md lists them, and compose.yaml passes them on."""

import re
from pathlib import Path

from msgspec.structs import fields

from {{ cookiecutter.__package_name }}.settings import Settings

ROOT = Path(__file__).parents[1]


def test_environment_wins() -> None:
    environment = {"PORT": "8080", "LOG_LEVEL": "debug", "HOME": "/"}
    expected = Settings(port=8080, log_level="debug")
    assert Settings.from_environment(environment) == expected
    assert Settings.from_environment({"PORT": ""}) == Settings()


def test_readme_has_them_all() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? ?\|", readme, re.MULTILINE))
    settings = {field.encode_name: str(field.default).lower() for field in fields(Settings)}
    assert {name: documented.get(name) for name in settings} == settings


def test_compose_passes_them_all_on() -> None:
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    passed = re.findall(r"^ +- ([A-Z_]+)(?:=.*)?$", compose, re.MULTILINE)
    # Where the shell does not set them, passing them on would hide the image's.
    of_image = {"VERSION", "REVISION"}
    assert {field.encode_name for field in fields(Settings)} - of_image <= set(passed)
