"""The {{ cookiecutter.interface | upper }} application and its routes."""

from collections.abc import Callable

from falcon import MEDIA_JSON
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import App
{%- else %}, App
{%- endif %}
from falcon.media import JSONHandler
from msgspec import json

from {{ cookiecutter.__package_name }} import problems
from {{ cookiecutter.__package_name }}.greetings import Greetings
from {{ cookiecutter.__package_name }}.health import Live, Ready
from {{ cookiecutter.__package_name }}.hello import Hello
from {{ cookiecutter.__package_name }}.middleware import Guard, Observer
from {{ cookiecutter.__package_name }}.openapi import api
from {{ cookiecutter.__package_name }}.settings import Settings
from {{ cookiecutter.__package_name }}.tracing import traced


def loads(text: str) -> object:
    """Give the value that a JSON text holds.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def create_app(settings: Settings) -> App:
    """Give the application, with its routes."""
    app = App(middleware=[Guard(settings.max_body_bytes)])
    json_handler = JSONHandler(dumps=json.encode, loads=loads)
    app.req_options.media_handlers[MEDIA_JSON] = json_handler
    app.resp_options.media_handlers[MEDIA_JSON] = json_handler
    problems.install(app)
    app.add_route("/", Hello())
    app.add_route("/greetings", Greetings())
    app.add_route("/livez", Live())
    app.add_route("/readyz", Ready(checks=[]))
    api.register(app)
    return app


def describe() -> str:
    """Give the interface as an OpenAPI document."""
    create_app(Settings())
    return json.format(json.encode(api.spec), indent=2).decode()


def serve() -> Callable:
    """Give the application as gunicorn serves it."""
    return traced(Observer(create_app(Settings.from_environment())))
