"""How the service stops: first it is not ready any more, then it ends."""

import mmap
import os
import signal
from types import FrameType

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from .settings import ServerSettings

# One byte that the master process shares with the workers that it forks.
_draining = mmap.mmap(-1, 1)

_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def is_draining() -> bool:
    """Return whether the service is about to stop."""
    return _draining[0] == 1


def when_ready(settings: ServerSettings, _arbiter: Arbiter) -> None:
    """Make SIGTERM announce the stop, and stop only after `drain_seconds`.

    Load balancers need the time to notice; until then they go on sending requests. A second
    SIGTERM cuts it short.
    """

    def drain(_signum: int, _frame: FrameType | None) -> None:
        _draining[0] = 1
        signal.signal(signal.SIGTERM, stop)
        if settings.drain_seconds:
            signal.alarm(settings.drain_seconds)
        else:
            signal.raise_signal(signal.SIGTERM)

    stop = signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))


def pre_fork(_arbiter: Arbiter, _worker: Worker) -> None:
    """Let signals to stop wait for a worker, which begins with the handlers of the master."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _take_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def post_worker_init(_worker: Worker) -> None:
    """Take the signals to stop, those that waited too."""
    _take_signals()


# The master goes on to take them.
os.register_at_fork(after_in_parent=_take_signals)
