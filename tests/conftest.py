"""Fixtures: a service made from the template, and the servers around it."""

import base64
import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies
from support import TEMPLATE, Bake, free_port

BakeFunction = Callable[..., Bake]


def pytest_configure(config: pytest.Config) -> None:
    """Make `cookies` bake this template, wherever pytest was started."""
    config.option.template = str(TEMPLATE)


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """Give git an identity, and leave out what a developer's shell may say about the service."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@example.com")
        for name in ("IMAGE", "LOG_LEVEL", "MAKEFLAGS", "MAKELEVEL", "PORT", "WEB_CONCURRENCY"):
            patch.delenv(name, raising=False)
        yield


def baker(cookies: Cookies) -> BakeFunction:
    """Give the function that bakes with the answers it is called with."""

    def bake(**answers: str) -> Bake:
        result = cookies.bake(extra_context=answers)
        assert result.exit_code == 0, f"{answers} failed: {result.exception!r}"
        return Bake(result.project_path, result.context)

    return bake


@pytest.fixture
def bake(cookies: Cookies) -> BakeFunction:
    return baker(cookies)


@pytest.fixture(scope="session")
def bake_session(cookies_session: Cookies) -> BakeFunction:
    return baker(cookies_session)


@pytest.fixture(scope="session")
def engine() -> None:
    """Need a Docker engine: skip without one, or fail where REQUIRE_ENGINE is set."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        reason = "no Docker engine answers `docker info`"
        if os.environ.get("REQUIRE_ENGINE"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def git_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a git configuration that leads from the article's repository to one on loopback.

    What stands in for it has the same names, and needs packaging at run time as well.
    """
    root = tmp_path_factory.mktemp("git")
    source = root / "source"
    package = source / "markdown_plain_text"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import markdown\nimport packaging\n")
    (source / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='Plain-Text-Markdown-Extention', version='1.0',\n"
        "      packages=['markdown_plain_text'], install_requires=['Markdown', 'packaging'])\n"
    )
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=first"),
        ("clone", "--quiet", "--bare", ".", "../python-markdown-plain-text.git"),
    ):
        subprocess.run(["git", *command], cwd=source, check=True)
    port = free_port()
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={root}", "--reuseaddr"]
        + ["--listen=127.0.0.1", f"--port={port}", str(root)]
    )
    config = root / "config"
    config.write_text(
        f'[url "git://127.0.0.1:{port}/"]\n'
        "\tinsteadOf = https://github.com/kostyachum/\n"
        "\tinsteadOf = ssh://git@github.com/kostyachum/\n"
        "[user]\n\tname = canary-git\n"
    )
    probe = ["git", "ls-remote", f"git://127.0.0.1:{port}/python-markdown-plain-text.git"]
    for _ in range(50):
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.1)
    yield config
    daemon.terminate()
    daemon.wait()


@pytest.fixture(scope="session")
def private_index() -> Iterator[str]:
    """Give the address of a package index that asks for a password.

    It knows the user canary-user with the password canary-password, and leads to the index that
    this machine uses.
    """
    upstream = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    expected = "Basic " + base64.b64encode(b"canary-user:canary-password").decode()

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            if self.headers["Authorization"] == expected:
                self.send_response(302)
                self.send_header("Location", upstream + self.path.removeprefix("/simple"))
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
