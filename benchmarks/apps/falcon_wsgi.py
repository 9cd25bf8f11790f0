"""The least that answers hi, and a greeting in JSON, in Falcon for WSGI."""

from falcon import MEDIA_TEXT, App, HTTPUnprocessableEntity, Request, Response
from rules import accepted


class Hello:
    """The resource of /."""

    def on_get(self, _req: Request, resp: Response) -> None:
        """Answer hi."""
        resp.content_type = MEDIA_TEXT
        resp.text = "hi"


class Greetings:
    """The resource of /greetings."""

    def on_post(self, req: Request, resp: Response) -> None:
        """Greet a guest."""
        name = req.get_media()["name"]
        if not accepted(name):
            raise HTTPUnprocessableEntity
        resp.media = {"text": f"hi {name}"}


app = App()
app.add_route("/", Hello())
app.add_route("/greetings", Greetings())
