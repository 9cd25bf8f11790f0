"""What is done for every request."""

import os
import re
{%- if cookiecutter.interface == "asgi" %}
from collections.abc import Awaitable, Callable
from time import perf_counter
{%- else %}
from collections.abc import Callable, Iterable
{%- endif %}

from falcon import HTTPContentTooLarge, HTTPLengthRequired
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}, Request, Response
{%- endif %}

from {{ cookiecutter.__package_name }} import {{ "logs, " if cookiecutter.interface == "asgi" }}tracing
from {{ cookiecutter.__package_name }}.context import RequestContext, current

# Letters that a log, a shell and a header take as they are; what is longer than this is no ID.
REQUEST_ID = re.compile(r{{ "b" if cookiecutter.interface == "asgi" }}"[A-Za-z0-9._:/+=@-]{1,128}")

# For answers that no browser should keep, run anything of, or guess the type of.
{%- if cookiecutter.interface == "asgi" %}
SECURITY_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
]


class Observer:
    """Gives each request an ID, and logs it when it has been answered."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        """Take the application that answers."""
        self._app = app

    async def __call__(
        self,
        scope: dict,
        receive: Callable[[], Awaitable[dict]],
        send: Callable[[dict], Awaitable[None]],
    ) -> None:
        """Have a request answered, and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        # ASGI lets headers be iterators, of which the application would find nothing left.
        scope["headers"] = [tuple(header) for header in scope["headers"]]
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex().encode()
        request = RequestContext(request_id.decode(), tracing.trace_id(headers))
        current.set(request)
        # What the client gets if the application sends nothing.
        status = 500
        sent = 0

        async def observed(event: dict) -> None:
            nonlocal status, sent
            if event["type"] == "http.response.start":
                status = event["status"]
                own = (b"x-request-id", request_id)
                event["headers"] = [*event["headers"], own, *SECURITY_HEADERS]
            else:
                sent += len(event.get("body", b""))
            await send(event)

        try:
            await self._app(scope, receive, observed)
        finally:
            logs.access(
                request,
                scope["method"],
                (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
                status,
                sent,
                perf_counter() - started,
                (scope.get("client") or [""])[0],
                headers.get(b"x-forwarded-for", b"").decode("latin-1"),
            )
{%- else %}
SECURITY_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
]


class Observer:
    """Gives each request an ID."""

    def __init__(self, app: Callable[[dict, Callable], Iterable[bytes]]) -> None:
        """Take the application that answers."""
        self._app = app

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        """Have a request answered."""
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        current.set(RequestContext(request_id, tracing.trace_id(environ)))

        def start(status: str, headers: list[tuple[str, str]], *exc_info: object) -> Callable:
            own = ("X-Request-ID", request_id)
            return start_response(status, [*headers, own, *SECURITY_HEADERS], *exc_info)

        return self._app(environ, start)
{%- endif %}


class Guard:
    """Notes the route of a request, and refuses a body that is too long."""

    def __init__(self, max_body_bytes: int) -> None:
        """Take the length of the longest body that is accepted."""
        self._max_body_bytes = max_body_bytes

    {{ cookiecutter.__async }}def process_resource(
        self, req: Request, _resp: Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Look at a request for which there is a route.

        Raises:
            HTTPContentTooLarge: the body is too long.
            HTTPLengthRequired: the body does not tell its length.
        """
        if request := current.get():
            request.route = req.uri_template
            tracing.name_span(req)
        length = req.content_length
        if length is None:
            if req.get_header("Transfer-Encoding"):
                raise HTTPLengthRequired(description="A body must tell its length.")
        elif length > self._max_body_bytes:
            raise HTTPContentTooLarge(
                description=f"A body must not be longer than {self._max_body_bytes} bytes."
            )
