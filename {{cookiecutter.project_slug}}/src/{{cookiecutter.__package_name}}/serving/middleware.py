"""What is done for every request."""

import os
import re
from typing import Any

from falcon import CORSMiddleware, Request, Response

from . import metrics, problems, stopping, tracing
from .context import RequestContext, body_is_whole, current, in_flight
from .interface import close_after

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

    def begin(self, req: Request) -> str:
        """Begin a request or a WebSocket, and return its ID."""
        request_id = req.get_header("X-Request-ID", default="")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        request = RequestContext(request_id, req.scheme, tracing.trace_id(req))
        in_flight.add(request)
        current.set(request)
        body_is_whole.set(not (req.content_length or req.get_header("Transfer-Encoding")))
        return request_id

    def note_route(self, req: Request) -> None:
        """Note the route that matches a request or a WebSocket, if one does."""
        if (request := current.get()) and req.uri_template:
            request.route = req.uri_template
            tracing.name_span(req)

    def process_request(self, req: Request, resp: Response) -> None:
        """Begin the answer to a request."""
        metrics.begin(req.method, req.scheme)
        resp.set_headers(DEFAULT_HEADERS)
        resp.set_header("X-Request-ID", self.begin(req))

    def process_resource(
        self, req: Request, _resp: Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Note the route of a request, and look at its body's length.

        Raises:
            HTTPContentTooLarge: the body is too long.
        """
        self.note_route(req)
        problems.refuse_longer(req.content_length or 0, self._max_body_bytes)

    def process_response(
        self, _req: Request, resp: Response, _resource: object, _req_succeeded: bool
    ) -> None:
        """Tell the client that its connection ends where the service does, or its body does not."""
        if stopping.is_draining() or not body_is_whole.get():
            close_after(resp)

    async def process_request_async(self, req: Request, resp: Response) -> None:
        """Begin the answer to a request."""
        self.process_request(req, resp)

    async def process_resource_async(
        self, req: Request, resp: Response, resource: object, params: dict[str, str]
    ) -> None:
        """Note the route of a request, and look at its body's length."""
        self.process_resource(req, resp, resource, params)

    async def process_request_ws(self, req: Request, _websocket: object) -> None:
        """Begin a WebSocket."""
        self.begin(req)

    async def process_resource_ws(
        self, req: Request, _websocket: object, _resource: object, _params: dict[str, str]
    ) -> None:
        """Note the route of a WebSocket."""
        self.note_route(req)

    async def process_response_async(
        self, req: Request, resp: Response, resource: object, req_succeeded: bool
    ) -> None:
        """Tell the client that its connection ends where the service does, or its body does not."""
        self.process_response(req, resp, resource, req_succeeded)


class Cors(CORSMiddleware[Any, Any]):
    """Lets pages of other origins read answers, and says to caches which depend on the origin."""

    def __init__(self, origins: str) -> None:
        """Take the origins, separated by commas, or * for all."""
        allowed = origins if origins == "*" else origins.split(",")
        super().__init__(allowed, expose_headers="X-Request-ID")

    def process_response(
        self, req: Request, resp: Response, resource: object, req_succeeded: bool
    ) -> None:
        """Say who may read an answer."""
        super().process_response(req, resp, resource, req_succeeded)
        if self.allow_origins != "*":
            resp.append_header("Vary", "Origin")
