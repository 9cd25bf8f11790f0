"""What is done for every request."""

import os
import re

from falcon import HTTPContentTooLarge, HTTPLengthRequired
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}, Request, Response
{%- endif %}

from {{ cookiecutter.__package_name }} import tracing
from {{ cookiecutter.__package_name }}.context import RequestContext, current

# Letters that a log, a shell and a header take as they are; what is longer than this is no ID.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# For answers that no browser should show, guess the type of, or keep.
SECURITY_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
]


class RequestMiddleware:
    """Names a request, and refuses a body that is too long."""

    def __init__(self, max_body_bytes: int) -> None:
        """Take the length of the longest body that is accepted."""
        self._max_body_bytes = max_body_bytes

    {{ cookiecutter.__async }}def process_request(self, req: Request, resp: Response) -> None:
        """Take the request's ID or make one, and send it back.

        Raises:
            HTTPContentTooLarge: the body is too long.
            HTTPLengthRequired: the body does not tell its length.
        """
        request_id = req.get_header("X-Request-ID")
        if not request_id or not REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        current.set(RequestContext(request_id, tracing.trace_id(req)))
        resp.set_headers([("X-Request-ID", request_id), *SECURITY_HEADERS])
        if (req.content_length or 0) > self._max_body_bytes:
            raise HTTPContentTooLarge(
                description=f"A body must not be longer than {self._max_body_bytes} bytes."
            )
        if req.get_header("Transfer-Encoding"):
            raise HTTPLengthRequired(description="A body must tell its length.")

    {{ cookiecutter.__async }}def process_resource(
        self, req: Request, _resp: Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Note the route that matched."""
        if (request := current.get()) and req.uri_template:
            request.route = req.uri_template
            tracing.name_span(req)
