"""The commands of a service's Makefile set up what they need from python3 alone."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BakeFunction
from servers import PrivateIndex
from support import ARTICLE_DEPENDENCY, Bake, free_port, get

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


def test_dev_reloads_and_lets_a_debugger_attach(baked: Bake) -> None:
    baked.make(".venv/installed")
    port, hello = free_port(), baked.path / "src" / "falcon_service" / "hello.py"
    before = hello.read_text()
    variables = {"PORT": str(port), "METRICS_PORT": "0"}
    server = subprocess.Popen(
        ["make", "dev"], cwd=baked.path, env=os.environ | variables, process_group=0
    )
    try:
        assert get(f"http://127.0.0.1:{port}/") == (200, "hi")
        time.sleep(2)  # gunicorn looks at the files once a second, and first when it serves
        hello.write_text(before.replace('"hi"', '"hello"'))
        deadline = time.monotonic() + 10
        while get(f"http://127.0.0.1:{port}/") != (200, "hello"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", 5678), timeout=10) as debugger:
            events = debugger.makefile("rwb")
            # https://microsoft.github.io/debug-adapter-protocol/specification
            for number, command in enumerate(("initialize", "attach", "configurationDone"), 1):
                request = {"seq": number, "type": "request", "command": command}
                data = json.dumps(request | {"arguments": {"adapterID": "test"}}).encode()
                events.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
                events.flush()
            seen = {}
            # the worker is a process of its own, to which debuggers attach in turn
            while "debugpyAttach" not in seen:
                length = int(events.readline().split()[1])
                events.readline()
                message = json.loads(events.read(length))
                seen[message.get("event") or message["command"]] = message
        assert seen["initialize"]["success"]
        assert seen["attach"]["success"]
        assert seen["debugpyAttach"]["body"]["subProcessId"] != server.pid
    finally:
        hello.write_text(before)
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "http", "PORT is 'http': it must be a number from 1 to 65535"),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL is 'loud': it must be one of critical, debug, error, info",
        ),
    ],
)
def test_run_refuses_a_bad_setting(baked: Bake, name: str, value: str, line: str) -> None:
    baked.make(".venv/installed")
    result = baked.run("make", "run", **{name: value})
    assert result.returncode != 0
    assert result.stderr.startswith(line)
    assert "Traceback" not in result.stderr


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
