"""What the tests share: a service made from the template, and how to talk to it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).parents[1]
PROMPTS = {
    name: default
    for name, default in json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8")).items()
    if not name.startswith("_")
}
CHOICES = {name: default for name, default in PROMPTS.items() if isinstance(default, list)}

# The line of the article on image sizes that the template grew out of.
ARTICLE_DEPENDENCY = (
    "Plain-Text-Markdown-Extention @ git+https://github.com/kostyachum/"
    "python-markdown-plain-text.git#egg=plain-text-markdown-extention"
)


@dataclass(frozen=True)
class Bake:
    """A service made from the template."""

    path: Path
    answers: Mapping[str, str]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the service's folder, with variables added to the environment."""
        return subprocess.run(
            command,
            cwd=self.path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def make(self, *arguments: str, **environment: str) -> str:
        """Run make, which must succeed; give all that it printed."""
        result = self.run("make", "--no-print-directory", *arguments, **environment)
        printed = result.stdout + result.stderr
        assert result.returncode == 0, f"make {' '.join(arguments)} failed:\n{printed}"
        return printed

    def read(self, name: str) -> str:
        """Give the text of a file."""
        return (self.path / name).read_text("utf-8")

    def files(self) -> set[str]:
        """Give the paths of all files but git's own, relative to the service's folder."""
        paths = (path for path in self.path.rglob("*") if path.is_file())
        relative = (path.relative_to(self.path) for path in paths)
        return {path.as_posix() for path in relative if path.parts[0] != ".git"}


def cookiecutter(
    out: Path, *arguments: str, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user would, with a home of its own beside the output folder."""
    home = out.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--output-dir", str(out), *arguments],
        env=os.environ | {"HOME": str(home), "PYTHONUTF8": "1"} | environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def free_port() -> int:
    """Give a TCP port of the loopback interface on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(
    url: str | urllib.request.Request, seconds: float = 15, pause: float = 0.1
) -> tuple[int, str]:
    """Ask until something answers, for so many seconds; give the status and the text.

    Between two attempts it waits for so many seconds as `pause` says.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            with opener.open(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
