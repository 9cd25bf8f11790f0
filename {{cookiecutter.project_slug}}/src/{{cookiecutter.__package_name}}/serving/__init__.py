"""How the service is served: logs, metrics, traces, problem documents, probes, and its stop.

Nobody needs to open it to change what the service does. `app.py` imports `new_app`, `add_probes`
and `App` from `application`, and resources import `Answers` and `api` from `openapi`. "Take it out"
in README.md says how to remove a part.
"""

# The name of the service, as metrics, traces and the OpenAPI document have it.
SERVICE = __name__.partition(".")[0].replace("_", "-")
