"""The settings of the service, read from its environment."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields


class SettingError(ValueError):
    """A variable has a value that it must not have; the message names it, and the rule."""


class Settings(Struct, frozen=True, kw_only=True, rename=str.upper):
    """What can be set from outside; the defaults serve in production.

    Every field is the variable of its name in capitals, and its description the rule for it.
    """

    port: Annotated[int, Meta(ge=1, le=65535, description="a number from 1 to 65535")] = 8000
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="a number from 0 to 65535")] = (
        9090
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        Meta(description="one of debug, info, warning, error, critical"),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"], Meta(description="one of auto, json, text")
    ] = "auto"
    web_concurrency: Annotated[int, Meta(ge=0, le=512, description="a number from 0 to 512")] = 0
    drain_seconds: Annotated[int, Meta(ge=0, le=20, description="a number from 0 to 20")] = 5
    max_body_bytes: Annotated[
        int, Meta(ge=0, le=2**31, description="a number from 0 to 2147483648")
    ] = 2**20
    version: Annotated[str, Meta(description="a text")] = "unknown"
    revision: Annotated[str, Meta(description="a text")] = "unknown"
    reload: Annotated[bool, Meta(description="true or false")] = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Give the settings that an environment holds; an empty variable is one that is not set.

        Raises:
            SettingError: a variable has a value that it must not have.
        """
        rules = {field.encode_name: field.type for field in fields(cls)}
        given = {name: environment[name] for name in rules if environment.get(name)}
        try:
            return convert(given, cls, strict=False)
        except ValidationError as error:
            name = str(error).rpartition("$.")[2].rstrip("`")
            rule = rules[name].__metadata__[0].description
            raise SettingError(f"{name} is {given[name]!r}: it must be {rule}") from None
