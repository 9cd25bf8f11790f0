"""What the tests share: a service made from the template, and how to send it requests."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import kubernetes_validate
from markdown_it import MarkdownIt

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

CRUFT = (sys.executable, "-m", "cruft")


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

    def must(self, *command: str, **environment: str) -> str:
        """Run a command as `run` does, which must succeed, and return all that it printed."""
        result = self.run(*command, **environment)
        printed = result.stdout + result.stderr
        assert result.returncode == 0, f"{' '.join(command)} failed:\n{printed}"
        return printed

    def make(self, *arguments: str, **environment: str) -> str:
        """Run make, which must succeed, and return everything that it printed."""
        return self.must("make", "--no-print-directory", *arguments, **environment)

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self.path / name).read_text("utf-8")

    def files(self) -> set[str]:
        """Return the paths of all files except git's own, relative to the service's folder."""
        paths = (path for path in self.path.rglob("*") if path.is_file())
        relative = (path.relative_to(self.path) for path in paths)
        return {path.as_posix() for path in relative if path.parts[0] != ".git"}


def cookiecutter(
    out: Path,
    *arguments: str,
    typed: str = "",
    python: str = sys.executable,
    under: Sequence[str] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user would, with its own home folder beside the output folder.

    Args:
        out: The output folder.
        arguments: The rest of the command line.
        typed: What is typed at the prompts.
        python: The interpreter that has cookiecutter.
        under: A command that runs the command that follows it.
        environment: Variables to add to the environment.
    """
    home = out.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [*under, python, "-m", "cookiecutter", "--output-dir", str(out), *arguments],
        cwd=home,
        env=os.environ | {"HOME": str(home), "PYTHONUTF8": "1"} | environment,
        input=typed,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def copy_template(folder: Path) -> None:
    """Copy the template as it is here, except for what git ignores, into a folder."""
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for path in filter(Path.exists, (TEMPLATE / name for name in listed.rstrip("\0").split("\0"))):
        copy = folder / path.relative_to(TEMPLATE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, which must succeed, and return what it prints."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder: Path, tag: str) -> None:
    """Commit and tag everything in a folder, in a repository that is made if there is none."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", tag)
    git(folder, "tag", tag)


def append(path: Path, text: str) -> None:
    """Append a text to a file."""
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def replace(path: Path, old: str, new: str) -> None:
    """Replace a text in a file, which must have it once."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path} must have {old!r} once"
    path.write_text(text.replace(old, new), "utf-8")


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def get(
    url: str | urllib.request.Request, seconds: float = 15, pause: float = 0.1
) -> tuple[int, str]:
    """Send requests until one is answered, and return the status and the text.

    Args:
        url: What to request.
        seconds: When to give up.
        pause: The seconds between two requests.
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


def markdown_text(source: str) -> str:
    """Return the text that a reader of rendered CommonMark sees in the first block."""
    block = MarkdownIt("commonmark").enable("strikethrough").parse(source)[1]
    assert block.type == "inline"
    children = block.children or []
    assert {child.type for child in children} <= {"text", "text_special"}, source
    return "".join(child.content for child in children)


def assert_is_manifest(manifest: object) -> None:
    """Assert that the API of Kubernetes knows all of a manifest."""
    version = "1.36"
    assert kubernetes_validate.validate(manifest, version, strict=True) == version
