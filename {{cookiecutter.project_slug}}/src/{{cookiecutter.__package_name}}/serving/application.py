"""A Falcon application that has what every service needs."""

from collections.abc import Iterable
from typing import Any

from falcon import MEDIA_JSON
from falcon.media import JSONHandler
from falcon.routing import CompiledRouter
from msgspec import json

from . import problems
from .interface import App, Check, Live, Ready, handle_unforeseen, surviving
from .middleware import Cors, Middleware
from .settings import ServerSettings

__all__ = ["App", "add_probes", "new_app"]


class Router(CompiledRouter):
    """Answers HEAD as GET, without the body; no responder ends the service."""

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the responders of a resource by their methods."""
        responders: dict[str, Any] = super().map_http_methods(resource, **kwargs)
        if "GET" in responders:
            responders.setdefault("HEAD", responders["GET"])
        return {method: surviving(responder) for method, responder in responders.items()}


def loads(text: str) -> object:
    """Return the value that a JSON text holds.

    Raises:
        ValueError: it is malformed, or nested too deeply.
    """
    try:
        return json.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def new_app(settings: ServerSettings) -> App:
    """Return an application without routes."""
    middleware: list[object] = [Middleware(settings.max_body_bytes)]
    if settings.cors_allow_origins:
        middleware.append(Cors(settings.cors_allow_origins))
    app = App(settings, middleware=middleware, router=Router())
    json_handler = JSONHandler(dumps=json.encode, loads=loads)
    app.req_options.media_handlers[MEDIA_JSON] = json_handler
    app.resp_options.media_handlers[MEDIA_JSON] = json_handler
    app.set_error_serializer(problems.serialize)
    app.add_error_handler(Exception, handle_unforeseen)
    return app


def add_probes(app: App, checks: Iterable[Check]) -> None:
    """Add what an orchestrator asks; the service is ready when all checks pass."""
    app.add_route("/livez", Live())
    app.add_route("/readyz", Ready(checks))
