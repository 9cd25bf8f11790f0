"""The interface as OpenAPI describes it, from the models that check its requests."""

import spectree
from falcon{{ ".asgi" if cookiecutter.interface == "asgi" }} import Request, Response
from msgspec import ValidationError
from spectree.model_adapter import ModelAdapter

from {{ cookiecutter.__package_name }} import problems


def refuse(
    _req: Request,
    _resp: Response,
    error: ValidationError | None,
    _resource: object,
    adapter: ModelAdapter,
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


class Answers(spectree.Response):
    """The models of what a responder answers, by status; the problems of any request are added."""

    def __init__(self, **models: type) -> None:
        """Take the models, such as HTTP_200=Greeting."""
        for status in (400, 411, 413, 415, 422, 500):
            models[f"HTTP_{status}"] = problems.Problem
        super().__init__(**models)

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
