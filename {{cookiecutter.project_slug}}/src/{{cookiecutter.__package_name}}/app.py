"""The WSGI application and its routes."""

from falcon import App

from {{ cookiecutter.__package_name }}.health import Live, Ready
from {{ cookiecutter.__package_name }}.hello import Hello


def create_app() -> App:
    """Give the application, with its routes."""
    app = App()
    app.add_route("/", Hello())
    app.add_route("/livez", Live())
    app.add_route("/readyz", Ready(checks=[]))
    return app
