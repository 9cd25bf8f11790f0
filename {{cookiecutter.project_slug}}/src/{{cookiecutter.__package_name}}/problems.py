"""Errors as RFC 9457 has them: application/problem+json."""

import logging

import msgspec
{% if cookiecutter.interface == "asgi" -%}
from falcon import HTTPError, HTTPInternalServerError, HTTPUnprocessableEntity, code_to_http_status
from falcon.asgi import App, Request, Response
{%- else -%}
from falcon import (
    App,
    HTTPError,
    HTTPInternalServerError,
    HTTPUnprocessableEntity,
    Request,
    Response,
    code_to_http_status,
)
{%- endif %}

from {{ cookiecutter.__package_name }}.context import current

logger = logging.getLogger(__name__)


class InvalidField(msgspec.Struct):
    """A part of a request that breaks a rule."""

    # Where it is, such as body.name, and the rule.
    field: str
    rule: str


class Problem(msgspec.Struct, omit_defaults=True):
    """The members of a problem document."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    request_id: str | None = None
    errors: list[InvalidField] | None = None


class InvalidRequestError(HTTPUnprocessableEntity):
    """A request whose body is well-formed, but breaks rules."""

    def __init__(self, errors: list[InvalidField]) -> None:
        """Take the rules that it breaks."""
        super().__init__(description="The request breaks a rule.")
        self.errors = errors


def serialize(_req: Request, resp: Response, error: HTTPError) -> None:
    """Write an error into a response."""
    request = current.get()
    problem = Problem(
        title=(error.title or error.status).removeprefix(f"{error.status_code} "),
        status=error.status_code,
        detail=error.description,
        request_id=request.request_id if request else None,
        errors=getattr(error, "errors", None),
    )
    resp.content_type = "application/problem+json"
    resp.data = msgspec.json.encode(problem)


def raw(status: int, detail: str) -> bytes:
    """Give the whole answer to what is no request, for which there is no response to write into."""
    line = code_to_http_status(status)
    problem = Problem(title=line.partition(" ")[2], status=status, detail=detail or None)
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/problem+json\r\n\r\n"
    )
    return head.encode() + body


{% if cookiecutter.interface == "asgi" -%}
async def unhandled(
    _req: Request, _resp: Response, error: Exception, _params: dict[str, str]
) -> None:
{%- else -%}
def unhandled(_req: Request, _resp: Response, error: Exception, _params: dict[str, str]) -> None:
{%- endif %}
    """Log an error that no one foresaw, and answer with nothing of it."""
    logger.error("unhandled error", exc_info=error)
    raise HTTPInternalServerError


def install(app: App) -> None:
    """Make all errors of an application problem documents."""
    app.set_error_serializer(serialize)
    app.add_error_handler(Exception, unhandled)
