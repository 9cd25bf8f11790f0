"""Traces by OpenTelemetry, where the extra otel is installed and its variables ask for them."""

import logging
import os
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from falcon import Request

from . import SERVICE
from .interface import INSTRUMENTATION, PATH

logger = logging.getLogger(__name__)

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile("[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_current_span: Callable[[], Any] | None = None


def is_wanted() -> bool:
    """Return whether the standard variables ask for traces."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return (
        any(os.environ.get(name) for name in endpoints)
        and os.environ.get("OTEL_TRACES_EXPORTER") != "none"
        and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
    )


def traced(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return an application that makes a span for each request, where traces are wanted."""
    if not is_wanted():
        return app
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.util.http import get_excluded_urls

        instrumentation = import_module(INSTRUMENTATION)
    except ImportError:
        logger.warning("no traces, though variables ask for them: the extra otel is not installed")
        return app
    global _current_span
    _current_span = trace.get_current_span
    os.environ.setdefault("OTEL_SERVICE_NAME", SERVICE)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    middleware: Callable[..., Any] = instrumentation.OpenTelemetryMiddleware(app)
    # What a probe asks every few seconds makes no spans.
    os.environ.setdefault("OTEL_PYTHON_EXCLUDED_URLS", "/livez,/readyz")
    excluded = get_excluded_urls("FALCON")

    def choose(request: dict[str, Any], *arguments: Any) -> Any:  # noqa: ANN401
        is_excluded = excluded.url_disabled(request.get(PATH, ""))
        return (app if is_excluded else middleware)(request, *arguments)

    return choose


def trace_id(req: Request) -> str | None:
    """Return the ID of the trace that a request belongs to: the caller's, or one begun here."""
    if _current_span and (number := _current_span().get_span_context().trace_id):
        return format(number, "032x")
    match = _TRACEPARENT.match(req.get_header("traceparent", default=""))
    return match and match[1]


def name_span(req: Request) -> None:
    """Name the span of a request by the route that matched."""
    if _current_span:
        span = _current_span()
        span.update_name(f"{req.method} {req.uri_template}")
        span.set_attribute("http.route", req.uri_template)
