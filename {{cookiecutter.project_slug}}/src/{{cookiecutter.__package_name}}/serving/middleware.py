"""What is done for every request."""

import os
import re

from falcon import HTTPContentTooLarge, HTTPLengthRequired, Request, Response

from . import stopping, tracing
from .context import RequestContext, current, in_flight

# Letters that a log, a shell and a header take as they are; what is longer than this is no ID.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# For answers that no browser should keep, run anything of, or guess the type of; what a resource
# sets takes their place.
DEFAULT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class Middleware:
    """Gives a request its ID, and its answer what every answer has; refuses a long body."""

    def __init__(self, max_body_bytes: int) -> None:
        """Take the length of the longest body that is accepted."""
        self._max_body_bytes = max_body_bytes

    def process_request(self, req: Request, resp: Response) -> None:
        """Begin the answer to a request."""
        request_id = req.get_header("X-Request-ID", default="")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        request = RequestContext(request_id, tracing.trace_id(req))
        in_flight.add(request)
        current.set(request)
        resp.set_headers(DEFAULT_HEADERS)
        resp.set_header("X-Request-ID", request_id)
        if stopping.is_draining():
            resp.set_header("Connection", "close")

    def process_resource(
        self, req: Request, _resp: Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Note the route of a request for which there is one, and look at its body's length.

        Raises:
            HTTPContentTooLarge: the body is too long.
            HTTPLengthRequired: the body does not tell its length.
        """
        if (request := current.get()) and req.uri_template:
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

    async def process_request_async(self, req: Request, resp: Response) -> None:
        """Begin the answer to a request."""
        self.process_request(req, resp)

    async def process_resource_async(
        self, req: Request, resp: Response, resource: object, params: dict[str, str]
    ) -> None:
        """Note the route of a request for which there is one, and look at its body's length."""
        self.process_resource(req, resp, resource, params)
