"""The interface as OpenAPI describes it, from the models that check its requests."""

import spectree
from falcon{{ ".asgi" if cookiecutter.interface == "asgi" }} import Request, Response
from msgspec import ValidationError
from spectree.model_adapter import ModelAdapter

from {{ cookiecutter.__package_name }}.problems import InvalidField, InvalidRequestError, Problem


def refuse(
    _req: Request,
    _resp: Response,
    error: ValidationError | None,
    _resource: object,
    adapter: ModelAdapter,
) -> None:
    """Answer a request that breaks a rule of its model.

    Raises:
        InvalidRequestError: there is such an error.
    """
    if error:
        errors = adapter.validation_errors(error)
        raise InvalidRequestError([InvalidField(".".join(e["loc"]), e["msg"]) for e in errors])


class Answers(spectree.Response):
    """The models of what a responder answers, by status; the problems of any request are added."""

    def __init__(self, **models: type) -> None:
        """Take the models, such as HTTP_200=Greeting."""
        problems = dict.fromkeys(("HTTP_400", "HTTP_411", "HTTP_413", "HTTP_415"), Problem)
        super().__init__(**problems, HTTP_422=Problem, HTTP_500=Problem, **models)

    def generate_spec(self, *arguments: object) -> dict[str, dict]:
        """Give the description of the answers, problems with the media type that is theirs."""
        answers = super().generate_spec(*arguments)
        for status, answer in answers.items():
            if status >= "400":
                content = answer["content"]
                content["application/problem+json"] = content.pop("application/json")
        return answers


api = spectree.SpecTree(
    "{{ "falcon-asgi" if cookiecutter.interface == "asgi" else "falcon" }}",
    model_adapter=spectree.get_msgspec_model_adapter(),
    before=refuse,
    mode="strict",
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    title="{{ cookiecutter.project_slug }}",
    path="api",
    page_templates={},
)
