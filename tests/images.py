"""What the tests ask of Docker: an image's layers, and a container that runs hardened."""

import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from support import Bake

# As compose.yaml runs it, but for a user that the image has never heard of.
HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--pids-limit=4096",
    "--user=54321:12345",
)

# What a build takes from outside: the secrets of the template's Dockerfile, and the variables of
# the environment that name their files.
SECRETS = {
    "apk_repositories": "APK_REPOSITORIES",
    "apt_sources": "APT_SOURCES",
    "ca": "SSL_CERT_FILE",
    "git_config": "GIT_CONFIG_GLOBAL",
    "netrc": "NETRC",
    "pip_config": "PIP_CONFIG_FILE",
}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Seen:
    """What a browser shows in an element of a page, and the lines of its console."""

    text: str
    console: list[str]


def browse(folder: Path, url: str, *steps: str) -> Seen:
    """Open a page in Chromium on the host's network, and take steps there, as browse.py has them.

    Its picture is in the folder.
    """
    options = ("--rm", "--network=host", "--shm-size=256m", f"--volume={folder}:/out")
    printed = docker("run", *options, "browser:latest", url, *steps)
    return Seen(**json.loads(printed.splitlines()[-1]))


def engine_answers() -> bool:
    """Return whether there is a Docker engine that builds and runs images."""
    command = ["docker", "info"]
    found = shutil.which("docker")
    return bool(found) and not subprocess.run(command, capture_output=True, check=False).returncode


def docker(*arguments: str, typed: str = "") -> str:
    """Run docker, which must succeed, and return its output and errors."""
    result = subprocess.run(
        ["docker", *arguments],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"docker {' '.join(arguments)} failed:\n{result.stdout}"
    return result.stdout.strip()


def build(context: Path, tag: str, *flags: str) -> None:
    """Build an image by a plain `docker build`, with what a build takes from outside."""
    inputs = [
        f"--secret=id={name},src={os.environ[variable]}"
        for name, variable in SECRETS.items()
        if os.environ.get(variable)
    ]
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        if os.environ.get(name):
            inputs.append(f"--secret=id={name.lower()},env={name}")
    inputs += [f"--build-arg={name}" for name in PROXIES if os.environ.get(name)]
    inputs += shlex.split(os.environ.get("DOCKER_BUILD_FLAGS", ""))
    docker("build", f"--tag={tag}", *inputs, *flags, str(context))


def planned(baked: Bake, goal: str, target: str, **environment: str) -> dict[str, Any]:
    """Return what `make` has bake build for a goal, without building it."""
    printed = baked.make("--silent", goal, DOCKER_BUILD_FLAGS="--print", **environment)
    plan = json.loads(printed[printed.index("{\n") : printed.rindex("}") + 1])
    found: dict[str, Any] = plan["target"][target]
    return found


def config(image: str) -> dict[str, Any]:
    """Return the configuration of an image: user, command, labels and so on."""
    found: dict[str, Any] = json.loads(
        docker("image", "inspect", "--format", "{{json .Config}}", image)
    )
    return found


@dataclass(frozen=True)
class Saved:
    """An image as `docker save` writes it."""

    documents: dict[str, bytes]
    layers: dict[str, dict[str, bytes | None]]


def content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of a regular file in an archive."""
    file = archive.extractfile(member)
    assert file
    return file.read()


def save(image: str, folder: Path) -> Saved:
    """Return every document of an image, and every layer's files with their bytes.

    Other than regular files have None for their bytes.
    """
    archive = folder / "image.tar"
    docker("save", "--output", str(archive), image)
    documents, layers = {}, {}
    with tarfile.open(archive) as outer:
        for member in outer:
            if not member.isfile():
                continue
            data = content(outer, member)
            try:
                with tarfile.open(fileobj=BytesIO(data)) as layer:
                    layers[member.name] = {
                        entry.name: content(layer, entry) if entry.isfile() else None
                        for entry in layer
                    }
            except tarfile.ReadError:
                documents[member.name] = data
    archive.unlink()
    return Saved(documents, layers)


def assert_nothing_leaks(saved: Saved, image: str, word: str = "canary") -> None:
    """Assert that a word that only secrets hold is nowhere in an image."""
    assert saved.documents
    for name, data in saved.documents.items():
        assert word.encode() not in data, name
    for layer in saved.layers.values():
        for name, file in layer.items():
            assert word.encode() not in (file or b""), name
    assert word not in docker("history", "--no-trunc", image)


def flatten(image: str, folder: Path) -> dict[str, bool]:
    """Return the paths in an image except folders, and whether each is a regular file."""
    archive = folder / "flat.tar"
    container = docker("create", image)
    docker("export", "--output", str(archive), container)
    docker("rm", "--volumes", container)
    with tarfile.open(archive) as flat:
        # a hard link is one more name of a regular file
        return {each.name: each.isreg() or each.islnk() for each in flat if not each.isdir()}


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    id: str

    def inspect(self, template: str) -> str:
        """Return what docker knows about it, by a template."""
        return docker("inspect", "--format", template, self.id)

    def logs(self) -> str:
        """Return everything that it has printed."""
        return docker("logs", self.id)

    def python(self, code: str) -> str:
        """Run code in its Python, and return what it prints."""
        return docker("exec", self.id, "python3", "-c", code)

    def ask(self, path: str) -> str:
        """Send a request from inside, as it may have no network, and return status and text."""
        return self.python(
            "import http.client, os\n"
            "c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']))\n"
            f"c.request('GET', {path!r})\n"
            "r = c.getresponse()\n"
            "print(r.status, r.read().decode())"
        )

    def wait_until(self, health: str) -> None:
        """Wait until it runs and its health check says healthy, or unhealthy."""
        deadline = time.monotonic() + 60
        state = "{{.State.Status}} {{.State.Health.Status}}"
        while (now := self.inspect(state)) != f"running {health}":
            ended = now.startswith("exited") or time.monotonic() > deadline
            assert not ended, f"{now}:\n{self.logs()}"
            time.sleep(0.2)

    def stop(self) -> tuple[int, float]:
        """Stop it, and return its exit status and the seconds that it took."""
        started = time.monotonic()
        docker("stop", "--timeout=30", self.id)
        return int(self.inspect("{{.State.ExitCode}}")), time.monotonic() - started


@contextmanager
def running(image: str, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
    """Run an image while the context lasts, with options of docker run."""
    container = Container(docker("run", "--detach", *options, image, *command))
    try:
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.id)
