"""Build the images of an article and of this template side by side, and compare them.

Usage: PYTHONPATH=tests python benchmarks/image.py [--bases BASE ...] [--note TEXT]

Writes image.md, image-light.svg and image-dark.svg beside this file. All images hold the article's
service with the same versions of its dependencies, but for the template's whole service, which has
more of both. All are built by a plain `docker build`, with the secrets and DOCKER_BUILD_FLAGS that
the template's own `make docker` takes from the environment. Measured of each image:

- root fs: the sizes of the regular files in `docker export` of a created container, summed up, in
  MB (10^6 bytes); a hard link counts once. `files` is the number of those files.
- pull: the compressed layers in MB, as a registry sends them: as `docker save` gives them where the
  engine keeps them compressed (its containerd store), or else compressed by gzip -6.
- build: seconds of `docker build`, once each: cold (--no-cache and an empty cache of pip's; the
  base image is there), then with a new comment at the end of the service's code, then with one at
  the end of requirements.txt, which installs everything anew.
- start: seconds from `docker run` to the first answer with status 200, the median of 5 runs with
  the same options: one published port. Every image starts once before any starts again, so that
  what else the machine does meets all of them.

Measured of the template's whole service besides is the rebuild: seconds of `make docker` and of
`docker build`, in turn, after a new comment at the end of its code, and once more without a change;
the median of 5 rounds, after one that does not count.
"""

import argparse
import math
import os
import re
import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from images import build, docker
from measures import IDENTITY, make_service, pull_size, root_file_system, start_time
from report import (
    DARK,
    LIGHT,
    Figures,
    Row,
    figures_table,
    parts_table,
    ratio,
    ratios_table,
    svg,
    table,
)
from servers import serve_git
from support import ARTICLE_DEPENDENCY, Bake

HERE = Path(__file__).parent
IMAGE = "cookiecutter-falcon-gunicorn-bench"
ALPINE = "alpine:latest"
BASES = ("python:3.14", "python:3.14-slim", "python:3.14-alpine", ALPINE)
STARTS = 5
REBUILDS = 5


@dataclass(frozen=True)
class Recipe:
    """How one image is made, and what is changed to see how long it takes to make it again."""

    name: str
    ours: bool
    base: str
    context: Path
    flags: tuple[str, ...]
    code: str
    port: int

    def tag(self, kind: str) -> str:
        """Return the tag of the image, as built in one of several ways."""
        return f"{IMAGE}:{plain(self.name)}-{kind}"

    def build(self, kind: str, *flags: str) -> float:
        """Build the image by docker, with more flags; return the seconds."""
        begin = time.monotonic()
        build(self.context, self.tag(kind), *self.flags, *flags)
        return time.monotonic() - begin

    def make(self, kind: str) -> float:
        """Build the image by make; return the seconds."""
        begin = time.monotonic()
        Bake(self.context, {}).make("docker", f"IMAGE={self.tag(kind)}")
        return time.monotonic() - begin

    def change(self, name: str) -> None:
        """Add a comment to a file, and a new one every time: no build has seen it before."""
        with (self.context / name).open("a") as file:
            file.write(f"# {uuid.uuid4()}\n")


@dataclass(frozen=True)
class Base:
    """What a base image is: digest, distribution, package manager, and whether it has Python."""

    digest: str
    distribution: str
    manager: str
    python: bool


def inspect_base(name: str) -> Base | None:
    """Return what a base image is, pulled if need be, or None if it cannot be had."""
    for command in ("image", "inspect", name), ("pull", name):
        if not subprocess.run(["docker", *command], capture_output=True, check=False).returncode:
            break
    else:
        return None
    script = (
        ". /etc/os-release; echo $PRETTY_NAME; basename $(command -v apk || command -v apt-get);"
        " command -v python3 || true"
    )
    told = docker("run", "--rm", "--entrypoint=sh", name, "-c", script).splitlines()
    digest = docker("image", "inspect", "--format={{.Id}}", name)
    return Base(digest, told[0], told[1].removesuffix("-get"), len(told) > 2)


def plain(name: str) -> str:
    """Return a name in letters that a tag of an image and a folder can have."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower())


def pins(service: Path) -> list[str]:
    """Return the lines of a service's lock that pin falcon and gunicorn, without their hashes."""
    lock = (service / "requirements.txt").read_text("utf-8")
    return re.findall(r"^(?:falcon|gunicorn)==\S+", lock, re.MULTILINE)


def article_flags(base: str, known: Base) -> tuple[str, ...]:
    """Return the flags of docker build that the article's images on a base need."""
    flags = [f"--file={HERE}/article/{known.manager}.Dockerfile", f"--build-arg=BASE={base}"]
    if known.manager == "apk":
        flags += [f"--build-arg=PACKAGES=git{'' if known.python else ' python3 py3-pip'}"]
        flags += [f"--build-arg=RELEASE_PACKAGES={'' if known.python else 'python3'}"]
    return tuple(flags)


def article(bases: dict[str, Base | None], work: Path, service: Path) -> list[Recipe]:
    """Return the article's recipes, two for each base, with the versions of the service's lock."""
    recipes = []
    for base, known in bases.items():
        flags = article_flags(base, known) if known else ()
        for stages in ("one stage", "two stages"):
            context = work / plain(f"{base} {stages}")
            context.mkdir()
            shutil.copy(HERE / "article" / "ex_serv.py", context)
            lines = "\n".join([ARTICLE_DEPENDENCY, *pins(service), ""])
            (context / "requirements.txt").write_text(lines, "utf-8")
            name, target = f"{base}, {stages}", f"--target={plain(stages)}"
            recipes.append(Recipe(name, False, base, context, (*flags, target), "ex_serv.py", 80))
    return recipes


def hold_article(context: Path) -> None:
    """Replace a service by the article's: its code, its dependencies and gunicorn's defaults."""
    shutil.rmtree(context / "src")
    (context / "src").mkdir()
    shutil.copy(HERE / "article" / "ex_serv.py", context / "src")
    settings = 'bind = "0.0.0.0:8000"\nwsgi_app = "ex_serv:app"\n'
    (context / "gunicorn.conf.py").write_text(settings, "utf-8")
    lock = context / "requirements.txt"
    further = r"^(?:msgspec|prometheus-client|spectree)==.*\n(?:    .*\n)*"
    text, removed = re.subn(further, "", lock.read_text("utf-8"), flags=re.MULTILINE)
    if removed != 3:
        raise RuntimeError(f"the lock pins {removed} of the 3 dependencies to leave out")
    lock.write_text(text, "utf-8")


def ours(work: Path, service: Path) -> list[Recipe]:
    """Return the template's recipes: the article's service, the same minimal, and its own."""
    dockerfile = (service / "Dockerfile").read_text("utf-8")
    recipes = []
    for name, own, flags in (
        ("this template, the article's service", False, ()),
        ("the same, minimal", False, ("--build-arg=ROOT=minimal",)),
        ("this template, its whole service", True, ()),
    ):
        context = work / plain(name)
        shutil.copytree(service, context)
        # --no-cache keeps what cache mounts hold, so a cold build needs new ones.
        mounts = dockerfile.replace("type=cache,", f"type=cache,id={uuid.uuid4()},")
        (context / "Dockerfile").write_text(mounts, "utf-8")
        if not own:
            hold_article(context)
        code = "src/service_wsgi/hello.py" if own else "src/ex_serv.py"
        recipes.append(Recipe(name, True, ALPINE, context, flags, code, 8000))
    return recipes


def measure(recipe: Recipe) -> Figures:
    """Build an image three times; return what is measured of it, but for its start."""
    cold = recipe.build("cold", "--no-cache")
    recipe.change(recipe.code)
    code = recipe.build("code")
    recipe.change("requirements.txt")
    dependency = recipe.build("dependency")
    built = recipe.tag("cold")
    python = docker("run", "--rm", "--entrypoint=python3", built, "--version")
    return Figures(
        python.removeprefix("Python "),
        root_file_system(built),
        pull_size(built),
        cold,
        code,
        dependency,
        math.nan,
    )


def measure_all(recipes: list[Recipe]) -> dict[str, Figures]:
    """Return all that is measured of the images of some recipes, by their names."""
    figures: dict[str, Figures] = {}
    starts: dict[str, list[float]] = {recipe.name: [] for recipe in recipes}
    for recipe in recipes:
        print(f"{recipe.name} ...", flush=True)
        figures[recipe.name] = measure(recipe)
    for _ in range(STARTS):
        for recipe in recipes:
            starts[recipe.name].append(start_time(recipe.tag("cold"), recipe.port))
    return {
        name: replace(figures[name], start=statistics.median(seconds))
        for name, seconds in starts.items()
    }


def rebuild_table(recipe: Recipe) -> str:
    """Build an image again and again by make and by docker; return the table of the seconds."""
    changed: dict[str, list[float]] = {"make": [], "docker": []}
    unchanged: dict[str, list[float]] = {"make": [], "docker": []}
    for number in range(REBUILDS + 1):
        print(f"rebuild {number} of {REBUILDS} ...", flush=True)
        for way, run in (("make", recipe.make), ("docker", recipe.build)):
            recipe.change(recipe.code)
            seconds = [run(f"{way}-{number}") for _ in range(2)]
            if number:
                changed[way].append(seconds[0])
                unchanged[way].append(seconds[1])
    lines = []
    for what, of in (("after a change of one source file", changed), ("unchanged", unchanged)):
        medians = [f"{statistics.median(of[way]):.2f}" for way in ("make", "docker")]
        lines.append([what, *medians, ratio(of["make"], of["docker"])])
    return table(["rebuild", "make docker, s", "docker build, s", "ratio"], lines)


def remove_images() -> None:
    """Remove every image that this has built."""
    tags = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}", IMAGE).split()
    subprocess.run(["docker", "image", "rm", *tags], capture_output=True, check=False)


def reachable(url: str) -> bool:
    """Return whether git can read a repository."""
    command = ["git", "ls-remote", url]
    try:
        result = subprocess.run(
            command,
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def compare(names: Sequence[str], stand_in: bool, note: str, work: Path) -> None:
    """Measure every image, and write the table, with a note on it, and the pictures."""
    made = make_service(
        work, interface="wsgi", base_image=ALPINE, github_dependency=ARTICLE_DEPENDENCY
    )
    made.make("requirements.txt")
    service = made.path
    bases = {name: inspect_base(name) for name in dict.fromkeys([*names, ALPINE])}
    recipes = article({name: bases[name] for name in names}, work, service)
    recipes += ours(work, service)
    try:
        figures = measure_all([recipe for recipe in recipes if bases[recipe.base]])
        rebuilt = rebuild_table(recipes[-1])
    finally:
        remove_images()
    rows = [Row(recipe.name, recipe.ours, figures.get(recipe.name)) for recipe in recipes]
    version = docker("version", "--format={{.Server.Version}}")
    machine = docker("info", "--format={{.Architecture}}, {{.NCPU}} cores")
    source = "GitHub" if not stand_in else "a stand-in, as GitHub could not be reached"
    known = [[name, it.distribution, it.digest] for name, it in bases.items() if it]
    text = f"""# Image size

Written by `make bench-image`: the images of the article that this template grew out of
([recipes](article/)), and this template's, built and measured in one run on one engine. The top of
[image.py](image.py) says what each column means.

- Docker {version}, {machine}.
- In every image: {", ".join(pins(service))}, and the article's dependency from {source}.
- Times are those of one machine: compare them within the table.

{figures_table(rows)}

{ratios_table(rows, f"{ALPINE}, two stages")}

Building the whole service again by `make docker`, and by a plain `docker build` of the same
Dockerfile:

{rebuilt}

What takes 0.5 MB or more of a root file system, in MB:

{parts_table([row for row in rows if row.name == f"{ALPINE}, two stages" or row.ours])}

The engine had these bases; yours may have others under the same names.{note and f" {note}"}

{table(["base", "distribution", "digest"], known, left=3)}
"""
    (HERE / "image.md").write_text(text, "utf-8")
    (HERE / "image-light.svg").write_text(svg(rows, LIGHT), "utf-8")
    (HERE / "image-dark.svg").write_text(svg(rows, DARK), "utf-8")
    print(f"\n{text}")


def main() -> None:
    """Read the command line, and lead git to a stand-in where GitHub cannot be reached."""
    parser = argparse.ArgumentParser(description="Compare images; see the top of this file.")
    parser.add_argument("--bases", nargs="+", default=BASES, help="bases of the article's images")
    parser.add_argument("--note", default="", help="a sentence on the bases, for the table")
    arguments = parser.parse_args()
    os.environ |= IDENTITY
    stand_in = not reachable(ARTICLE_DEPENDENCY.partition("git+")[2].partition("#")[0])
    with TemporaryDirectory() as folder:
        work = Path(folder)
        with serve_git(work / "git") if stand_in else nullcontext() as config:
            if config:
                os.environ["GIT_CONFIG_GLOBAL"] = str(config)
                # A build reaches this machine's loopback only from its network.
                flags = os.environ.get("DOCKER_BUILD_FLAGS", "")
                if "--network" not in flags:
                    os.environ["DOCKER_BUILD_FLAGS"] = f"{flags} --network=host"
            compare(arguments.bases, stand_in, arguments.note, work)


if __name__ == "__main__":
    main()
