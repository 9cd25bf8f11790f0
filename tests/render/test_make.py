"""The commands of a service's Makefile set up what they need from python3 alone."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request

import pytest
from conftest import BakeFunction
from images import browse
from servers import PrivateIndex
from support import ARTICLE_DEPENDENCY, CHOICES, Bake, free_port, get

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def baked(bake_session: BakeFunction) -> Bake:
    return bake_session()


def test_help_is_the_default(baked: Bake) -> None:
    printed = baked.make()
    phony = re.findall(r"^\.PHONY: (.*)$", baked.read("Makefile"), re.MULTILINE)[0].split()
    assert [line.split()[0] for line in printed.splitlines()] == phony
    assert {"docker", "release", "run", "test", "lint", "lock", "clean"} <= set(phony)


def test_test(baked: Bake) -> None:
    assert re.search(r"\d+ passed", baked.make("test"))


def test_run_serves_until_it_is_told_to_stop(baked: Bake) -> None:
    baked.make(".venv/installed")
    port = free_port()
    server = subprocess.Popen(
        ["make", "run"], cwd=baked.path, env=os.environ | {"PORT": str(port)}, process_group=0
    )
    try:
        assert get(f"http://127.0.0.1:{port}/") == (200, "hi")
        assert get(f"http://127.0.0.1:{port}/readyz") == (200, "ready")
    finally:
        started = time.monotonic()
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
    assert time.monotonic() - started < 10


@dataclass(frozen=True)
class Development:
    """A service under `make dev`."""

    baked: Bake
    server: subprocess.Popen[bytes]
    printed: Path
    port: int

    @property
    def package(self) -> Path:
        """The folder of its package."""
        return self.baked.path / "src" / self.baked.answers["__package_name"]

    def wait_for(
        self, status: int, text: str = "", path: str = "/", body: bytes | None = None, port: int = 0
    ) -> None:
        """Wait until it answers with a status and a text."""
        url = f"http://127.0.0.1:{port or self.port}{path}"
        request = Request(url, body, {"Content-Type": "application/json"})
        deadline = time.monotonic() + 60
        while (got := get(request, 60))[0] != status or text not in got[1]:
            assert time.monotonic() < deadline, got
            time.sleep(0.1)

    def wait_for_error(self, name: str) -> None:
        """Wait until it has printed an error, and no line after it."""
        deadline = time.monotonic() + 60
        while name not in self.printed.read_text().splitlines()[-1]:
            assert time.monotonic() < deadline, self.printed.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="module", params=CHOICES["interface"])
def developed(request: pytest.FixtureRequest, bake_session: BakeFunction) -> Bake:
    baked = bake_session(interface=request.param)
    baked.make(".venv/installed")
    return baked


@pytest.fixture
def development(developed: Bake, tmp_path: Path) -> Iterator[Development]:
    printed, port = tmp_path / "printed", free_port()
    variables = {"PORT": str(port), "METRICS_PORT": str(free_port()), "SCRIPT_NAME": "/v1"}
    with printed.open("wb") as file:
        server = subprocess.Popen(
            ["make", "dev"],
            cwd=developed.path,
            env=os.environ | variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,
            # a shell has what it runs in the background ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        development = Development(developed, server, printed, port)
        development.wait_for(200, "hi")
        yield development
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=30)
        developed.run("git", "checkout", "--quiet", ".")


def is_taken(port: int) -> bool:
    """Return whether something listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def save(path: Path, text: str) -> None:
    """Save a file as many editors do, by a new one in its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_dev_serves_what_is_saved(development: Development) -> None:
    hello = development.package / "hello.py"
    save(hello, hello.read_text().replace('"hi"', '"hello"'))
    development.wait_for(200, "hello")
    # gunicorn.conf.py imports it
    settings = development.package / "settings.py"
    save(settings, f"{settings.read_text()}\n    max_body_bytes: int = 4\n")
    development.wait_for(413, path="/greetings", body=b'{"name": "Ada"}')
    config = development.baked.path / "gunicorn.conf.py"
    for port in (free_port(), free_port()):
        save(config, f'{config.read_text()}\nbind = "127.0.0.1:{port}"\n')
        development.wait_for(200, "hello", port=port)


def test_dev_waits_for_no_request(development: Development) -> None:
    hello = development.package / "hello.py"
    before = hello.read_text()
    sleeps = '        import time\n\n        print("asleep", flush=True)\n        time.sleep(600)\n'
    save(hello, before + sleeps)
    deadline = time.monotonic() + 60
    while "asleep" not in development.printed.read_text():
        assert time.monotonic() < deadline
        with suppress(OSError):
            get(f"http://127.0.0.1:{development.port}/", seconds=1)
    save(hello, before)
    development.wait_for(200, "hi")


def test_dev_shows_an_error_until_it_is_mended(development: Development) -> None:
    for name, line, error in (
        ("hello.py", "def", "SyntaxError"),
        ("settings.py", "absent", "NameError"),
        ("serving/stopping.py", "import absent", "ModuleNotFoundError"),
    ):
        path = development.package / name
        before = path.read_text()
        save(path, f"{before}\n{line}\n")
        development.wait_for_error(error)
        save(path, before)
        development.wait_for(200, "hi")


@pytest.mark.image
def test_dev_has_a_page_that_sends_requests(
    development: Development, browser: None, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{development.port}/v1"
    seen = browse(
        tmp_path,
        f"{address}/api/docs",
        ".opblock-post button",
        ".try-out__btn",
        '.body-param__text={"name": "Ada"}',
        ".execute",
        ".live-responses-table",
        ".opblock-post",
    )
    assert f"Request URL\n{address}/greetings\n" in seen.text
    assert '"text": "hi Ada"' in seen.text
    assert seen.console == []
    document = get(f"{address}/api/openapi.json")[1]
    assert list(json.loads(document)["paths"]) == ["/greetings"]


class Debugger:
    """A client of https://microsoft.github.io/debug-adapter-protocol/specification."""

    def __init__(self, **arguments: object) -> None:
        """Attach to a process, and let it run."""
        with socket.create_connection(("127.0.0.1", 5678), timeout=60) as connection:
            self.file = connection.makefile("rwb")
        for number, command in enumerate(("initialize", "attach", "configurationDone"), 1):
            request = {"seq": number, "type": "request", "command": command}
            data = json.dumps(request | {"arguments": {"adapterID": "test"} | arguments}).encode()
            self.file.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
            self.file.flush()

    def attach_to_child(self) -> "Debugger":
        """Wait until it is told of a process that this one has started, and attach to that."""
        while True:
            length = int(self.file.readline().split()[1])
            self.file.readline()
            message = json.loads(self.file.read(length))
            assert message.get("success", True), message
            if message.get("event") == "debugpyAttach":
                return Debugger(**message["body"])


def test_dev_lets_a_debugger_attach_until_it_ends(development: Development) -> None:
    debugger = Debugger()
    sessions = [debugger, master := debugger.attach_to_child(), master.attach_to_child()]
    hello = development.package / "hello.py"
    save(hello, hello.read_text().replace('"hi"', '"hello"'))
    sessions += [master := debugger.attach_to_child(), master.attach_to_child()]
    development.wait_for(200, "hello")
    for session in sessions:
        session.file.close()
    os.killpg(development.server.pid, signal.SIGINT)
    development.server.wait(timeout=30)
    deadline = time.monotonic() + 10
    while any(map(is_taken, (5678, development.port))):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "http", "PORT is 'http': it must be a number from 1 to 65535"),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL is 'loud': it must be one of critical, debug, error",
        ),
    ],
)
def test_run_refuses_a_bad_setting(baked: Bake, name: str, value: str, line: str) -> None:
    baked.make(".venv/installed")
    result = baked.run("make", "run", **{name: value})
    assert result.returncode != 0
    assert f'"message":"{line}' in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_lock_pins_every_dependency_with_hashes(bake: BakeFunction) -> None:
    baked = bake()
    rendered = baked.read("requirements.txt")
    (baked.path / "requirements.txt").write_text("")
    baked.make("lock")
    for lock in (rendered, baked.read("requirements.txt")):
        pins = re.findall(r"^([\w-]+)==[\w.]+ \\\n    --hash=sha256:", lock, re.MULTILINE)
        assert pins == ["falcon", "gunicorn", "msgspec", "prometheus-client", "spectree"]


def test_lock_pins_a_dependency_from_git_to_a_commit(bake: BakeFunction, git_config: Path) -> None:
    baked = bake(github_dependency=ARTICLE_DEPENDENCY)
    printed = baked.make("test", GIT_CONFIG_GLOBAL=str(git_config))
    assert re.search(r"\d+ passed", printed)
    assert re.fullmatch(
        r"plain-text-markdown-extention @ git\+https://github\.com/kostyachum/"
        r"python-markdown-plain-text\.git@[0-9a-f]{40}#egg=plain-text-markdown-extention\n",
        baked.read("requirements-git.txt"),
    )
    lock = baked.read("requirements.txt")
    assert re.findall(r"^([\w-]+)==", lock, re.MULTILINE) == [
        "falcon",
        "gunicorn",
        "markdown",
        "msgspec",
        "packaging",
        "prometheus-client",
        "spectree",
    ]
    assert "git+" not in lock + baked.read("requirements-dev.txt")
    assert "\n#    uv pip compile --output-file=requirements.txt --no-emit-package=" in lock
    imported = baked.run(".venv/bin/python", "-c", "import markdown_plain_text")
    assert imported.returncode == 0, imported.stderr


def test_lint_asks_whether_the_lock_fits(bake: BakeFunction) -> None:
    baked = bake()
    baked.make("lint")
    assert baked.run("git", "status", "--porcelain").stdout == ""
    pyproject = baked.path / "pyproject.toml"
    # what the tools need is in the other lock
    more = '"gunicorn>=27,<28",\n    "iniconfig>=2",'
    pyproject.write_text(pyproject.read_text().replace('"gunicorn>=27,<28",', more))
    result = baked.run("make", "--silent", "lint")
    assert result.returncode != 0
    assert "requirements.txt does not fit pyproject.toml: run make lock\n" in result.stderr


def test_lock_takes_pips_private_index(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake()
    for password, succeeds in ((private_index.password, True), ("wrong", False)):
        address = private_index.address_with(password)
        config = tmp_path / f"{password}.conf"
        config.write_text(f"[global]\nindex-url = {address}\n")
        for variable in ({"PIP_INDEX_URL": address}, {"PIP_CONFIG_FILE": str(config)}):
            result = baked.run("make", "lock", UV_NO_CACHE="1", **variable)
            assert (result.returncode == 0) == succeeds, result.stderr
            assert "canary" not in baked.read("requirements.txt")


def test_clean_leaves_what_was_rendered(bake: BakeFunction) -> None:
    baked = bake()
    before = baked.files()
    baked.make("test")
    assert baked.files() > before
    baked.make("clean")
    assert baked.files() == before
