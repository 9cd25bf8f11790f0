"""What an orchestrator asks of the service."""

import mmap
import os
import signal
from collections.abc import {% if cookiecutter.interface == "asgi" %}Awaitable, {% endif %}Callable, Iterable
from types import FrameType

from falcon import HTTP_SERVICE_UNAVAILABLE, MEDIA_TEXT
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}, Request, Response
{%- endif %}

Check = Callable[[], {{ "Awaitable[bool]" if cookiecutter.interface == "asgi" else "bool" }}]

# One byte that the master process shares with the workers that it forks.
_draining = mmap.mmap(-1, 1)

_STOP = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def drain_on_sigterm(seconds: int) -> None:
    """Make SIGTERM end readiness at once, and do what it did before only after so many seconds.

    Load balancers need the time to notice; until then they go on sending requests. A second
    SIGTERM cuts it short.
    """
    stop = signal.getsignal(signal.SIGTERM)

    def drain(signum: int, frame: FrameType | None) -> None:
        if _draining[0] or not seconds:
            stop(signum, frame)
        _draining[0] = 1
        signal.alarm(seconds)

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGALRM, lambda _, frame: stop(signal.SIGTERM, frame))


def hold_stop() -> None:
    """Let signals to stop wait in the process that is forked next, until it calls take_stop().

    A worker has the handlers of the master until it has its own: it would lose these signals, and
    be waited for until graceful_timeout.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def take_stop() -> None:
    """Take the signals to stop that wait, and all later ones at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


# The master goes on to take them.
os.register_at_fork(after_in_parent=take_stop)


class Live:
    """Says that the process answers; an orchestrator restarts a service that does not."""

    {{ cookiecutter.__async }}def on_get(self, _req: Request, resp: Response) -> None:
        """Answer 200, whatever the state of the services that this one depends on."""
        resp.content_type = MEDIA_TEXT
        resp.text = "live"


class Ready:
    """Says whether the service can take traffic; a load balancer leaves out one that cannot."""

    def __init__(self, checks: Iterable[Check]) -> None:
        """Take the checks, each of which tells whether something the service needs is there."""
        self._checks = tuple(checks)

    {{ cookiecutter.__async }}def on_get(self, _req: Request, resp: Response) -> None:
        """Answer 200 when every check passes, else 503; and 503 before the service stops."""
        resp.content_type = MEDIA_TEXT
        if _draining[0]:
            resp.status = HTTP_SERVICE_UNAVAILABLE
            resp.text = "draining"
        elif all({{ "[await check() for check in self._checks]" if cookiecutter.interface == "asgi" else "check() for check in self._checks" }}):
            resp.text = "ready"
        else:
            resp.status = HTTP_SERVICE_UNAVAILABLE
            resp.text = "not ready"
