"""The settings of the service, read from its environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class SettingError(ValueError):
    """A variable has a value that it must not have; the message names it, and the rule."""


@dataclass(frozen=True)
class Settings:
    """What can be set from outside; the defaults serve in production."""

    port: int = 8000
    log_level: str = "info"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Give the settings that the variables PORT and LOG_LEVEL hold.

        Raises:
            SettingError: a variable has a value that it must not have.
        """
        port = environment.get("PORT", str(cls.port))
        if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise SettingError(f"PORT is {port!r}: it must be a number from 1 to 65535")
        log_level = environment.get("LOG_LEVEL", cls.log_level)
        if log_level not in LOG_LEVELS:
            levels = ", ".join(LOG_LEVELS)
            raise SettingError(f"LOG_LEVEL is {log_level!r}: it must be one of {levels}")
        return cls(port=int(port), log_level=log_level)
