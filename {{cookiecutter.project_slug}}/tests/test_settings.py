"""The settings come from the environment, and README.md lists them."""

import re
from pathlib import Path

from msgspec.structs import fields

from {{ cookiecutter.__package_name }}.settings import Settings


def test_environment_wins() -> None:
    environment = {"PORT": "8080", "LOG_LEVEL": "debug", "RELOAD": "true", "HOME": "/"}
    expected = Settings(port=8080, log_level="debug", reload=True)
    assert Settings.from_environment(environment) == expected
    assert Settings.from_environment({"PORT": ""}) == Settings()


def test_readme_has_them_all() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? ?\|", readme, re.MULTILINE))
    settings = {field.encode_name: str(field.default).lower() for field in fields(Settings)}
    assert {name: documented.get(name) for name in settings} == settings
