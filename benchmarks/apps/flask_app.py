"""The least that answers hi, and a greeting in JSON, in Flask."""

from flask import Flask, Response, abort, request
from rules import accepted

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    """Answer hi."""
    return Response("hi", mimetype="text/plain")


@app.post("/greetings")
def greet() -> dict[str, str]:
    """Greet a guest."""
    name = request.get_json()["name"]
    if not accepted(name):
        abort(422)
    return {"text": f"hi {name}"}
