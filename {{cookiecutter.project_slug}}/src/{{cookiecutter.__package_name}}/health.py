"""What an orchestrator asks of the service."""

from collections.abc import Callable, Iterable

from falcon import HTTP_SERVICE_UNAVAILABLE, MEDIA_TEXT, Request, Response

Check = Callable[[], bool]


class Live:
    """Says that the process answers; an orchestrator restarts a service that does not."""

    def on_get(self, _req: Request, resp: Response) -> None:
        """Answer 200, whatever the state of the services that this one depends on."""
        resp.content_type = MEDIA_TEXT
        resp.text = "live"


class Ready:
    """Says whether the service can take traffic; a load balancer leaves out one that cannot."""

    def __init__(self, checks: Iterable[Check]) -> None:
        """Take the checks, each of which tells whether something the service needs is there."""
        self._checks = tuple(checks)

    def on_get(self, _req: Request, resp: Response) -> None:
        """Answer 200 when every check passes, else 503."""
        resp.content_type = MEDIA_TEXT
        if all(check() for check in self._checks):
            resp.text = "ready"
        else:
            resp.status = HTTP_SERVICE_UNAVAILABLE
            resp.text = "not ready"
