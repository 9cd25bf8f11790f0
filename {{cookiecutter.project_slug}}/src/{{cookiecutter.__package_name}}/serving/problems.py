"""Errors as RFC 9457 has them: application/problem+json."""

import logging

import msgspec
from falcon import (
    HTTPContentTooLarge,
    HTTPError,
    HTTPInternalServerError,
    HTTPUnprocessableEntity,
    Request,
    Response,
)

from .context import current

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


def refuse_longer(length: int, limit: int) -> None:
    """Refuse a body of so many bytes if it is too long.

    Raises:
        HTTPContentTooLarge: it is.
    """
    if length > limit:
        raise HTTPContentTooLarge(description=f"A body must not be longer than {limit} bytes.")


def serialize(_req: Request, resp: Response, error: HTTPError) -> None:
    """Write an error into a response."""
    request = current.get()
    problem = Problem(
        title=(error.title or str(error.status)).removeprefix(f"{error.status_code} "),
        status=error.status_code,
        detail=error.description,
        request_id=request.request_id if request else None,
        errors=getattr(error, "errors", None),
    )
    resp.content_type = "application/problem+json"
    resp.data = msgspec.json.encode(problem)


def unforeseen(error: Exception) -> HTTPError:
    """Log an error that no one foresaw, and return one that tells nothing of it."""
    logger.error("unhandled error", exc_info=error)
    return HTTPInternalServerError()
