"""An example of a resource that takes and gives JSON."""

from typing import Annotated

from falcon{{ ".asgi" if cookiecutter.interface == "asgi" }} import Request, Response
from msgspec import Meta, Struct

from {{ cookiecutter.__package_name }}.serving.openapi import Answers, api


class Guest(Struct, forbid_unknown_fields=True):
    """Who is to be greeted."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]


class Greeting(Struct):
    """What the guest hears."""

    text: str


class Greetings:
    """Makes greetings."""

    @api.validate(resp=Answers(HTTP_200=Greeting))
    {{ cookiecutter.__async }}def on_post(self, _req: Request, resp: Response, json: Guest) -> None:
        """Greet a guest."""
        resp.media = Greeting(text=f"hi {json.name}")
