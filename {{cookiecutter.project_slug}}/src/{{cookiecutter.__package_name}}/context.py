"""What is known of the request that is being answered."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestContext:
    """A request, as log lines and metrics name it."""

    request_id: str
    trace_id: str | None = None
    # The template of the route, such as /users/{id}; empty where no route matches.
    route: str = ""


current: ContextVar[RequestContext | None] = ContextVar("current", default=None)
