"""The settings come from the environment, or stop the start in one line."""

import pytest

from {{ cookiecutter.__package_name }}.settings import SettingError, Settings


def test_defaults() -> None:
    assert Settings.from_environment({}) == Settings(port=8000, log_level="info")


def test_environment_wins() -> None:
    environment = {"PORT": "8080", "LOG_LEVEL": "debug"}
    assert Settings.from_environment(environment) == Settings(port=8080, log_level="debug")


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "http", "８０００", "9" * 5000])
def test_refuses_a_port_that_is_none(port: str) -> None:
    with pytest.raises(SettingError, match=f"PORT is '{port}': it must be a number from 1 to"):
        Settings.from_environment({"PORT": port})


def test_refuses_a_log_level_that_is_none() -> None:
    with pytest.raises(SettingError, match="LOG_LEVEL is 'loud': it must be one of debug, info"):
        Settings.from_environment({"LOG_LEVEL": "loud"})
