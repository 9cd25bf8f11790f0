"""The settings of the service."""
{%- if cookiecutter.interface == "wsgi" %}

from typing import Annotated

from msgspec import Meta
{%- endif %}

from {{ cookiecutter.__package_name }}.serving.settings import ServerSettings


class Settings(ServerSettings, frozen=True, kw_only=True):
    """What is set from outside: each field is the variable of its name in capitals.

    Its type is the rule: `guests: Annotated[int, Meta(ge=1, le=50)] = 10` is GUESTS, from 1 to 50.
    """
{%- if cookiecutter.interface == "wsgi" %}

    threads: Annotated[int, Meta(ge=1, le=64)] = 2
{%- endif %}
