"""The interface as OpenAPI describes it, from the models that check its requests."""

import re
from typing import Annotated, Any, get_args, get_origin

import spectree
from falcon import Request, Response, code_to_http_status
from msgspec import json
from spectree.model_adapter import ModelAdapter

from . import SERVICE, problems
from .interface import OPENAPI_BACKEND


def refuse(
    _req: Request,
    _resp: Response,
    error: Exception | None,
    _resource: object,
    adapter: ModelAdapter[Any, Any, Any],
) -> None:
    """Answer a request that breaks a rule of its model.

    Raises:
        problems.InvalidRequestError: there is such an error.
    """
    if error:
        errors = adapter.validation_errors(error)
        raise problems.InvalidRequestError(
            [problems.InvalidField(".".join(each["loc"]), each["msg"]) for each in errors]
        )


def refuse_answer(
    _req: Request,
    _resp: Response,
    error: Exception | None,
    _resource: object,
    _adapter: ModelAdapter[Any, Any, Any],
) -> None:
    """Answer for a responder whose answer breaks a rule of its model, and log it.

    Raises:
        HTTPInternalServerError: there is such an error.
    """
    if error:
        raise problems.unforeseen(error)


class Answers(spectree.Response):
    """The models of what a responder answers, by status; the problems of any request are added."""

    def __init__(self, *codes: str, **models: Any) -> None:  # noqa: ANN401
        """Take statuses without a model, such as "HTTP_204", and models, such as HTTP_200=Greeting.

        That of an error is always a problem.
        """
        models |= dict.fromkeys(codes)
        for status in (400, 408, 413, 415, 422, 500):
            models.setdefault(f"HTTP_{status}", None)
        for name, model in models.items():
            if name >= "HTTP_4":
                # Falcon's words: Python's depend on its version.
                words = code_to_http_status(name.removeprefix("HTTP_")).partition(" ")[2]
                text = model[1] if isinstance(model, tuple) else words
                models[name] = (problems.Problem, text)
        super().__init__(**models)

    def generate_spec(self, *arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the description of the answers, problems with the media type that is theirs."""
        answers = super().generate_spec(*arguments)
        for status, answer in answers.items():
            if status >= "400":
                content = answer["content"]
                content["application/problem+json"] = content.pop("application/json")
        return answers


_names: dict[str, str] = {}


def name_of(model: Any) -> str:  # noqa: ANN401
    """Return the name that a model alone has in the document, such as Guest or list_Guest_."""
    if get_origin(model) is Annotated:  # what spectree makes of a list
        model = get_args(model)[0]
    full = f"{model.__module__}.{model.__name__}" if isinstance(model, type) else str(model)
    name = re.sub(r"\W+", "_", re.sub(r"[\w.]+\.", "", full))
    return name if _names.setdefault(name, full) == full else re.sub(r"\W+", "_", full)


api = spectree.SpecTree(
    OPENAPI_BACKEND,
    model_adapter=spectree.get_msgspec_model_adapter(),
    before=refuse,
    after=refuse_answer,
    mode="strict",
    naming_strategy=name_of,
    nested_naming_strategy=lambda _parent, child: child,
    title=SERVICE,
    path="api",
    page_templates={},
    # Relative to the document: under SCRIPT_NAME, too.
    servers=[{"url": ".."}],
)


def document() -> str:
    """Return the document, once an application has been created."""
    return json.format(json.encode(api.spec), indent=2).decode()
