"""The article's service, in one file: it answers hi."""

import falcon


class Hello:
    """The resource of /."""

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer hi."""
        response.text = "hi"


app = falcon.App()
app.add_route("/", Hello())
