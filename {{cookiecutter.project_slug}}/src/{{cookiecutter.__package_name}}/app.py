"""The application: its routes and readiness checks."""

from collections.abc import Callable
from typing import Any

from {{ cookiecutter.__package_name }}.greetings import Greetings
from {{ cookiecutter.__package_name }}.hello import Hello
from {{ cookiecutter.__package_name }}.serving.application import App, add_probes, new_app
from {{ cookiecutter.__package_name }}.serving.openapi import api, document
from {{ cookiecutter.__package_name }}.serving.tracing import traced
from {{ cookiecutter.__package_name }}.settings import Settings


def create_app(settings: Settings) -> App:
    """Return the application."""
    app = new_app(settings)
    app.add_route("/", Hello())
    app.add_route("/greetings", Greetings())
    add_probes(app, checks=[])
    # Last, as it describes the routes above.
    api.register(app)
    return app


def serve() -> Callable[..., Any]:
    """Return the application as gunicorn serves it."""
    return traced(create_app(Settings.from_environment()))


def describe() -> str:
    """Return the OpenAPI document of the application."""
    create_app(Settings())
    return document()
