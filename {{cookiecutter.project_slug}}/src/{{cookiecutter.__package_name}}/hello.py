"""The greeting."""

from falcon import MEDIA_TEXT, Request, Response


class Hello:
    """Greets whoever asks."""

    def on_get(self, _req: Request, resp: Response) -> None:
        """Answer with the greeting."""
        resp.content_type = MEDIA_TEXT
        resp.text = "hi"
