"""What a developer calls works on each Python that there is, and with musl."""

import os
import ssl

import pytest
from conftest import BakeFunction
from images import docker
from support import CHOICES, Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

# As `make test` does it, where there is no make.
INSTALL = """
python3 -m venv /venv
/venv/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
"""
RUN = """
make run &
python3 - <<'END'
import time, urllib.request
deadline = time.monotonic() + 20
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8123/").read().decode())
        break
    except OSError:
        assert time.monotonic() < deadline
        time.sleep(0.1)
END
kill $!
"""


def run(image: str, baked: Bake, script: str, *options: str) -> str:
    """Run a script in the folder of a service, in a container; return what it printed."""
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    kept = ("DOCKER_BUILD_FLAGS", "NO_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL")
    given = {name: os.environ[name] for name in kept if name in os.environ}
    environment = given | {"SSL_CERT_FILE": str(bundle), "PIP_CERT": str(bundle)}
    return docker(
        *("run", "--rm", "--network=host", f"--volume={bundle}:{bundle}:ro"),
        *(f"--volume={baked.path}:{baked.path}", f"--workdir={baked.path}", *options),
        *(f"--env={name}={value}" for name, value in environment.items()),
        *(image, "sh", "-euxc", script),
    )


@pytest.mark.parametrize("libc", ["slim", "alpine"])
@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_its_own_tests_pass(bake: BakeFunction, version: str, libc: str) -> None:
    # their locks are the same
    services = [bake(interface=interface) for interface in CHOICES["interface"]]
    volumes = [f"--volume={it.path}:{it.path}" for it in services[1:]]
    tests = [f"cd {it.path}; /venv/bin/pytest -p no:cacheprovider\n" for it in services]
    printed = run(f"python:{version}-{libc}", services[0], INSTALL + "".join(tests), *volumes)
    assert printed.count(" passed in ") == len(services)


def test_make_works_where_python3_is_the_newest(bake: BakeFunction, tools: str) -> None:
    baked = bake(project_slug="newest")
    socket = ("--volume=/var/run/docker.sock:/var/run/docker.sock",)
    identity = "git config --global --add safe.directory '*'\n"
    printed = run(tools, baked, f"{identity}make test lint lock docker", *socket)
    assert " passed in " in printed
    assert docker("run", "--rm", "newest:latest", "gunicorn", "--version").startswith("gunicorn")
    assert "\nhi\n" in run(tools, baked, RUN, "--env=PORT=8123", "--env=METRICS_PORT=0")
