"""What a service's README says takes a part out, and leaves a service that works."""

import re
import shutil
import sys
from dataclasses import dataclass

import pytest
from conftest import BakeFunction
from services import Service
from support import Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]


@dataclass(frozen=True)
class Part:
    """The files of a part, and what names it in others: words, and the text that goes."""

    interface: str
    files: tuple[str, ...]
    # by file: the word that the README names, and regular expressions of what it stands for
    texts: dict[str, tuple[str, tuple[str, ...]]]


PROBE = "(?<=port: )metrics$"
PARTS = {
    "metrics": Part(
        "asgi",
        ("serving/metrics.py", "tests/serving/test_metrics.py"),
        {
            "gunicorn.conf.py": (
                "metrics",
                (
                    r" +metrics,\n",
                    r" +metrics\.post.*\n",
                    r"\n\n# The metrics[^\n]*(\n.+)+",
                    r"from functools .*\n",
                ),
            ),
            "serving/access.py": ("metrics", (r"from \. import metrics\n", r" +metrics\.ob.*\n")),
            "serving/middleware.py": (
                "metrics",
                (r"metrics, (?=problems)", r" +metrics\.begin.*\n"),
            ),
            "serving/settings.py": ("metrics_port", (r" +metrics_port.*\n",)),
            "serving/healthcheck.py": (
                "metrics_port",
                (r"\n\nThe port for metrics.*\n", r"settings\.metrics_port or "),
            ),
            "README.md": ("METRICS_PORT", (r"\| `METRICS_PORT`.*\n",)),
            "compose.yaml": ("METRICS_PORT", (r".*METRICS_PORT.*\n",)),
            "Dockerfile": ("9090", (" 9090",)),
            "pyproject.toml": ("prometheus-client", (r' +"prometheus-client.*\n',)),
            "deploy/deployment.yaml": (
                "prometheus.io",
                (r" +annotations:\n( +prometheus\.io.*\n)+", r" +- name: metrics\n.*\n", PROBE),
            ),
            "deploy/network.yaml": ("metrics", (r" +- ports:\n.*metrics\n(.+\n)+",)),
        },
    ),
    "traces": Part(
        "wsgi",
        ("serving/tracing.py",),
        {
            "app.py": (
                "traced",
                (r"from \S+tracing import traced\n", r"traced\((?=create)", r"(?<=\)\))\)$"),
            ),
            "dev.py": (
                "traced",
                (r"from \S+tracing import traced\n", r"traced\((?=app)", r"(?<=return app)\)"),
            ),
            "serving/middleware.py": (
                "tracing",
                (", tracing(?=\n)", r", tracing\.trace_id\(req\)", r" +tracing\.name_span.*\n"),
            ),
            "serving/interface.py": (
                "`INSTRUMENTATION` and `PATH`",
                (r"(INSTRUMENTATION|PATH) =.*\n",),
            ),
            "pyproject.toml": ("otel", (r"\[project\.opt(.*\n)+?\]\n\n", r"\[\[tool(.*\n)+?\n")),
        },
    ),
    "OpenAPI": Part(
        "asgi",
        (
            "serving/openapi.py",
            "greetings.py",
            "dev.py",
            "openapi.json",
            "tests/test_greetings.py",
            "tests/serving/test_openapi.py",
        ),
        {
            "app.py": (
                "Greetings",
                (
                    r"from .* import Greetings\n",
                    r"from .* import api, document\n",
                    r".*Greetings\(\)\)\n",
                    r" +# Last.*\n.*register.*\n",
                    r"\n\ndef describe(.*\n)+",
                ),
            ),
            "serving/interface.py": ("OPENAPI_BACKEND", (r"OPENAPI_BACKEND.*\n",)),
            "Makefile": (
                "`openapi`, `/api/docs` and `dev:serve()`",
                (
                    r"\nopenapi: (.*\n)+?(?=\n)",
                    r" openapi\b",
                    r" and a page, /api/docs",
                    r" dev:serve\(\)",
                ),
            ),
            "pyproject.toml": ("spectree", (r' +"(spectree|offapi).*\n', r'"dev\.py", ')),
        },
    ),
    "threads that no slow client takes": Part(
        "wsgi",
        ("serving/worker.py",),
        {"gunicorn.conf.py": ('worker_class = "gthread"', (r"[\w.]+\.serving\.worker\.Worker",))},
    ),
    "a stop that waits for no idle connection": Part(
        "asgi",
        ("serving/worker.py",),
        {"gunicorn.conf.py": ('worker_class = "asgi"', (r"[\w.]+\.serving\.worker\.Worker",))},
    ),
    "the trimmed standard library": Part(
        "wsgi",
        ("docker/trim_stdlib.py",),
        {
            "Dockerfile": (
                "the two commands that run it",
                (
                    r" \\\n    --mount=\S+trim_stdlib\.py,target=/packages\S+(?= )",
                    r"--mount=type=bind,source=docker/trim_stdlib\.py,target=\S+ \\\n    (?=rm)",
                    r" \\\n    && (chroot /packages )?python3 -I -S -B \S*/trim_stdlib\.py",
                ),
            ),
            "pyproject.toml": ("`docker` in `pyproject.toml`", (r'"docker", ',)),
        },
    ),
    "Kubernetes": Part(
        "wsgi", ("deploy",), {"README.md": ("its section", (r"## Kubernetes\n(.*\n)+?(?=## )",))}
    ),
}
# What takes the place of the text, by the part or the pattern.
INSTEAD = {
    PROBE: "http",
    "threads that no slow client takes": "gthread",
    "a stop that waits for no idle connection": "asgi",
}


def find(baked: Bake, name: str) -> str:
    """Return the path of a file as the README names it, which leaves out the package's."""
    package = f"src/{baked.answers['__package_name']}"
    return name if (baked.path / name).exists() else f"{package}/{name}"


@pytest.mark.parametrize("name", PARTS)
def test_part(bake: BakeFunction, name: str) -> None:
    part = PARTS[name]
    baked = bake(project_slug="reduced", interface=part.interface)
    [row] = re.findall(rf"^\| {name} \| .*$", baked.read("README.md"), re.MULTILINE)
    for file in part.files:
        assert f"`{file}`" in row
        path = baked.path / find(baked, file)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file, (word, patterns) in part.texts.items():
        assert word in row
        assert (f"`{file}`" if file != "README.md" else "this file") in row
        path = baked.path / find(baked, file)
        text = path.read_text()
        for pattern in patterns:
            instead = INSTEAD.get(name) or INSTEAD.get(pattern, "")
            text, count = re.subn(pattern, instead, text, flags=re.MULTILINE)
            assert count, (file, pattern)
        path.write_text(text)
    baked.run("git", "add", "--all")
    for command in (("pre_commit", "run", "--all-files"), ("mypy",), ("pytest", "-q")):
        result = baked.run(sys.executable, "-m", *command)
        assert result.returncode == 0, result.stdout + result.stderr
    baked.make("docker")
    with Service(baked, "reduced:latest").run(probe=False) as running:
        assert running.ask("/")[0].status == 200
        assert running.stop()[0] == 0
        assert not running.lines(level="error")
    shutil.rmtree(baked.path)
