"""What is known of the request that is being answered."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True, eq=False)
class RequestContext:
    """A request, as log lines and metrics name it."""

    request_id: str
    scheme: str
    trace_id: str | None = None
    # The route template, such as /users/{id}; empty where no route matches.
    route: str = ""
    started: float = field(default_factory=perf_counter)


# The requests that are being answered.
in_flight: set[RequestContext] = set()
# Whether the body of the request, if it has one, has been read to its end.
body_is_whole: ContextVar[bool] = ContextVar("body_is_whole", default=True)
current: ContextVar[RequestContext | None] = ContextVar("current", default=None)
