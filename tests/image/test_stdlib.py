"""The trimmed standard library does what the untouched one does."""

import os
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import HARDENED, docker, running
from support import Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine")]

LEFT_OUT = {"ensurepip", "idlelib", "pydoc_data", "test", "tkinter", "turtle", "turtledemo"}
# These print, open a browser, or end the program when they are imported.
SKIPPED = {"this", "antigravity", "__main__"}

WALK = f"""
import pkgutil, sys, sysconfig
skipped = {SKIPPED!r}
stdlib = sysconfig.get_path("stdlib")
paths = [stdlib, stdlib + "/lib-dynload"]
names = {{module.name for module in pkgutil.walk_packages(paths, onerror=lambda name: None)}}
names |= set(sys.stdlib_module_names)
for name in sorted(names):
    if not skipped & set(name.split(".")):
        print(name)
"""
IMPORT = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except BaseException:
        continue
    print(name)
"""
WORK = {
    "locale": "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv())",
    "time zones": (
        "import os, time; os.environ['TZ'] = 'CET-1CEST,M3.5.0,M10.5.0/3'; time.tzset()\n"
        "assert time.strftime('%Z', time.localtime(0)) == 'CET'"
    ),
    "certificates": ("import ssl; assert len(ssl.create_default_context().get_ca_certs()) > 100"),
    "names": "import socket; assert socket.getaddrinfo('localhost', 80)",
    "sqlite": (
        "import sqlite3\n"
        "assert sqlite3.connect(':memory:').execute('select 6*7').fetchone() == (42,)"
    ),
    "ctypes": "import ctypes; assert ctypes.CDLL(None).abs(-42) == 42",
    "processes": (
        "import multiprocessing as m\n"
        "if __name__ == '__main__':\n"
        "    assert m.get_context('fork').Pool(2).map(abs, [-6, -7]) == [6, 7]\n"
        "    q = m.get_context('spawn').Process(target=print); q.start(); q.join()\n"
        "    assert q.exitcode == 0"
    ),
    "source lines": (
        "import falcon, traceback\n"
        "try:\n"
        "    falcon.App().add_route('no slash', None)\n"
        "except ValueError:\n"
        "    lines = traceback.format_exc()\n"
        "assert 'raise ValueError' in lines and 'falcon/app.py' in lines, lines"
    ),
    "console scripts": (
        "import subprocess; subprocess.run(['falcon-inspect-app', '--help'], check=True)"
    ),
    "package database": (
        "import re; names = re.findall('^P:(.*)$', open('/lib/apk/db/installed').read(), re.M)\n"
        "assert {'musl', 'python3', 'libcrypto3'} <= set(names), names"
    ),
}


@pytest.fixture(scope="module")
def baked(bake_session: BakeFunction) -> Bake:
    baked = bake_session(project_slug="trimmed")
    flags = os.environ.get("DOCKER_BUILD_FLAGS", "")
    baked.make("docker", "minimal")
    baked.make("docker", IMAGE="trimmed:build", DOCKER_BUILD_FLAGS=f"{flags} --set=*.target=build")
    return baked


@pytest.fixture(scope="module", params=["latest", "latest-minimal"])
def image(request: pytest.FixtureRequest, baked: Bake) -> str:
    return f"{baked.path.name}:{request.param}"


def imported(image: str, names: str) -> set[str]:
    """Return the modules, of those named, that import in an image's own Python."""
    command = ["/usr/bin/python3", "-I", "-S", "-c", IMPORT]
    return set(docker("run", "--rm", "-i", image, *command, typed=names).split())


def test_every_module_imports_that_did(image: str) -> None:
    names = docker("run", "--rm", "trimmed:build", "/usr/bin/python3", "-I", "-S", "-c", WALK)
    before, after = imported("trimmed:build", names), imported(image, names)
    assert len(before) > 500
    assert {name.split(".")[0] for name in before - after} <= LEFT_OUT
    assert "json" in after


@pytest.mark.parametrize("work", WORK)
def test_works(image: str, work: str) -> None:
    with running(image, *HARDENED, "--tmpfs=/tmp", "--network=none") as container:
        container.python(WORK[work])


def test_comes_from_the_archive(image: str) -> None:
    origin = docker("run", "--rm", image, "python3", "-c", "import json; print(json.__file__)")
    assert origin.endswith(".zip/json/__init__.pyc")


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ('CHECK = "', 'CHECK = "raise SystemExit(1); '),
        ("    sources = modules", "    (stdlib / 'zzz.py').write_text('(')\n    sources = modules"),
    ],
    ids=["the archive does not start", "a module does not compile"],
)
def test_stays_whole_where_it_cannot_be_trimmed(
    bake: BakeFunction, tmp_path: Path, line: str, broken: str
) -> None:
    baked = bake(project_slug="untrimmed")
    script = baked.path / "docker" / "trim_stdlib.py"
    # the path keeps the engine's cache from answering for an earlier run of this test
    script.write_text(f"{script.read_text().replace(line, broken)}# {tmp_path}\n")
    printed = baked.make("docker", BUILDKIT_PROGRESS="plain")
    assert "WARNING: the standard library stays untrimmed" in printed
    with running("untrimmed:latest", *HARDENED) as container:
        container.wait_until("healthy")
        assert container.python("import json; print(json.__file__)").endswith("/json/__init__.py")
