"""What `make dev` serves: the service, and a page that shows its interface and sends it requests.

Neither this file nor offapi, which has the page, is in the image.
"""

from collections.abc import Callable
from typing import Any

from falcon import MEDIA_HTML
{%- if cookiecutter.interface == "asgi" %}
from falcon.asgi import Request, Response
{%- else %}, Request, Response
{%- endif %}
from offapi import OpenAPITemplate

from {{ cookiecutter.__package_name }}.app import create_app
from {{ cookiecutter.__package_name }}.serving.tracing import traced
from {{ cookiecutter.__package_name }}.settings import Settings

# The page holds its own scripts, styles and images.
POLICY = (
    "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; img-src data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)


class Page:
    """Swagger UI."""

    html = OpenAPITemplate.SWAGGER.value.format(spec_url="openapi.json")

    {{ cookiecutter.__async }}def on_get(self, _req: Request, resp: Response) -> None:
        """Answer with the page."""
        resp.content_type = MEDIA_HTML
        resp.set_header("Content-Security-Policy", POLICY)
        resp.text = self.html


def serve() -> Callable[..., Any]:
    """Return the application, with the page, as gunicorn serves it."""
    app = create_app(Settings.from_environment())
    app.add_route("/api/docs", Page())
    return traced(app)
