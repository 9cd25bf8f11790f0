"""Settings from variables of the environment, among them those of the server."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from msgspec import Meta, Struct, ValidationError, convert, inspect
from msgspec.structs import fields

# What `logging` calls these, too.
ALIASES = {"warn": "warning", "fatal": "critical"}


class SettingError(ValueError):
    """A variable breaks its rule; the message names the variable, its value and the rule."""


class ServerSettings(Struct, frozen=True, kw_only=True, rename=str.upper):
    """How the service is served; a field is the variable of its name in capitals."""

    port: Annotated[int, Meta(ge=1, le=65535)] = 8000
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 9090
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    web_concurrency: Annotated[int, Meta(ge=0, le=512)] = 0
    drain_seconds: Annotated[int, Meta(ge=0, le=20)] = 5
    max_body_bytes: Annotated[int, Meta(ge=0, le=2**31)] = 2**20
    version: str = "unknown"
    revision: str = "unknown"
    access_log: bool = True
    script_name: Annotated[str, Meta(pattern="^(/[^/]+)*$")] = ""
    # Origins as browsers write them, in lower case, separated by commas.
    cors_allow_origins: Annotated[
        str, Meta(pattern=r"^(\*|([a-z-]+://[a-z0-9.:\[\]-]+(,\b|$))+)$")
    ] = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of an environment, where an empty variable is an unset one.

        Raises:
            SettingError: a variable breaks its rule.
        """
        values = {}
        for field in fields(cls):
            text = environment.get(field.encode_name)
            # Kubernetes sets METRICS_PORT to such an address where a Service is called metrics.
            if text and not text.startswith("tcp://"):
                is_name = isinstance(inspect.type_info(field.type), inspect.LiteralType)
                try:
                    values[field.name] = convert(
                        ALIASES.get(text.lower(), text.lower()) if is_name else text,
                        field.type,
                        strict=False,
                    )
                except ValidationError:
                    rule = rule_for(field.type)
                    raise SettingError(
                        f"{field.encode_name} is {text!r}: it must be {rule}"
                    ) from None
        return cls(**values)


def rule_for(kind: Any) -> str:  # noqa: ANN401
    """Return in words which values the type of a setting allows."""
    match inspect.type_info(kind):
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.IntType(ge=low, le=high) | inspect.FloatType(ge=low, le=high):
            limits = {"from": low, "to": high}
            words = [f" {word} {limit}" for word, limit in limits.items() if limit is not None]
            return f"a number{''.join(words)}"
        case inspect.StrType(pattern=pattern) if pattern:
            return f"a text that matches {pattern}"
        case inspect.StrType(max_length=length) if length is not None:
            return f"a text of at most {length} characters"
        case other:
            return f"a valid {type(other).__name__.removesuffix('Type').lower()}"
