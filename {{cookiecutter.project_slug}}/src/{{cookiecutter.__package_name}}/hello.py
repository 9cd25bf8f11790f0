"""The greeting."""

from falcon import MEDIA_TEXT
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}, Request, Response
{%- endif %}


class Hello:
    """Greets whoever asks."""

    {{ cookiecutter.__async }}def on_get(self, _req: Request, resp: Response) -> None:
        """Answer with the greeting."""
        resp.content_type = MEDIA_TEXT
        resp.text = "hi"
