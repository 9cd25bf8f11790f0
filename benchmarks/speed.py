"""Serve the same answers from several servers, side by side, and compare what a request costs.

Usage: PYTHONPATH=tests python benchmarks/speed.py [--seconds 1] [--rounds 5] [--no-images]
           [--note TEXT]

Writes http.md beside this file. It needs Linux, two CPUs, and wrk and taskset on the path; where a
Docker engine on this machine answers, it measures images as well.

wrk sends over 32 connections that are kept, from one thread: GET / is answered by `hi`, and POST
/greetings, with a name in JSON, by a greeting in JSON. All servers listen on loopback at the same
time. In every round each of them is loaded for some seconds, one after the other, so that what else
the machine does meets all of them; a first round is not counted. What a server prints goes through
a pipe, as in a container. Measured of each load:

- CPU: user and system time of all processes of the server, from /proc before and after, with those
  that ended meanwhile, divided by the requests that were answered.
- requests a second, and p50 and p99 of the latency, as wrk counts them.

A figure is the median of the rounds; a ratio is the median of the ratios of the rounds, with the
lowest and the highest.
"""

import argparse
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from images import docker
from load import CONNECTIONS, HI, JSON, Running, Sample, Server, pss, running, tree
from report import table
from support import TEMPLATE, Bake, cookiecutter, free_port

HERE = Path(__file__).parent
APPS = HERE / "apps"
IMAGE = "cookiecutter-falcon-gunicorn-bench"
INTERFACES = ("wsgi", "asgi")
ALPINE = "alpine:latest"
BASES = ("python:3.13-slim", ALPINE)
PLAIN_ALPINE = f"{ALPINE} without mimalloc"
# Work of Python alone: it asks neither the system nor, but for a new arena, its allocator.
PYTHON_ALONE = ["python3", "-m", "timeit", "-p", "-n", "20000", "-r", "100", "-u", "usec", "-s"]
PYTHON_ALONE += ["class A: ...", "A(); [1]; str(1); f'{1}x'"]
NAMES = {HI: "hi", JSON: "JSON"}
MORE_WORKERS = 3
HEAD = ("compared", "median", "lowest to highest", "target", "")

Samples = dict[tuple[str, str], list[Sample]]

ARTICLE = "the article's command"
FALCON = {"wsgi": "Falcon, gunicorn gthread", "asgi": "Falcon, gunicorn asgi"}
UVLOOP = "Falcon, gunicorn asgi, uvloop"
FLASK = "Flask, gunicorn gthread"
FASTAPI = "FastAPI, uvicorn, uvloop"
GRANIAN = "Falcon, granian, WSGI"
EVERYTHING = {interface: f"this template, {interface}" for interface in INTERFACES}
NOTHING = {name: f"{served}, all off" for name, served in EVERYTHING.items()}


@dataclass(frozen=True)
class Comparison:
    """What is held against a target: the values of the rounds, and their bounds."""

    what: str
    values: Sequence[float]
    least: float | None = None
    most: float | None = None

    def line(self) -> list[str]:
        """Give it as a line of a table."""
        value = round(statistics.median(self.values), 2)
        spread = f"{min(self.values):.2f} to {max(self.values):.2f}" if len(self.values) > 1 else ""
        if self.least is None and self.most is None:
            return [self.what, f"{value:.2f}", spread, "", ""]
        target = f">= {self.least:g}" if self.most is None else f"<= {self.most:g}"
        met = value >= self.least if self.most is None else value <= self.most
        return [self.what, f"{value:.2f}", spread, target, "met" if met else "**missed**"]


@dataclass(frozen=True)
class Service:
    """A service made from the template, in a virtual environment of its lock."""

    bake: Bake
    venv: Path

    def server(self, name: str, workers: int) -> Server:
        """Give it as it serves, with everything on."""
        environment = {
            "PORT": "{port}",
            "METRICS_PORT": str(free_port()),
            "PYTHONPATH": "src",
            "WEB_CONCURRENCY": str(workers),
            "DRAIN_SECONDS": "0",
        }
        return Server(name, (f"{self.venv}/bin/gunicorn",), self.bake.path, environment)

    def settings(self) -> dict[str, str]:
        """Give the settings of gunicorn that it serves with."""
        command = (f"{self.venv}/bin/gunicorn", "--print-config")
        printed = self.bake.run(*command, PYTHONPATH="src").stdout
        return dict(re.findall(r"^(\w+) += (.*)$", printed, re.MULTILINE))

    def gunicorn(self, name: str, application: str, worker_class: str, *options: str) -> Server:
        """Give a bare application under the gunicorn and the settings of the service."""
        settings = self.settings()
        command = (
            *(f"{self.venv}/bin/gunicorn", "--bind=127.0.0.1:{port}", "--no-control-socket"),
            *("--log-level=warning", f"--worker-class={worker_class or settings['worker_class']}"),
            *(f"--threads={settings['threads']}", f"--keep-alive={settings['keepalive']}"),
            *(*options, application),
        )
        return Server(name, command, APPS, {"PYTHONPATH": f"{self.bake.path}/src"})


def virtual_environment(folder: Path, *locks: Path) -> Path:
    """Make a virtual environment of what some locks pin; of two pins, the later one counts."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    for lock in locks:
        subprocess.run([*pip, "--no-deps", "--require-hashes", f"--requirement={lock}"], check=True)
    return folder


def make_service(work: Path, interface: str, base: str) -> Bake:
    """Make a service from the template."""
    answers = (f"project_slug=service-{interface}", f"interface={interface}", f"base_image={base}")
    work.mkdir(exist_ok=True)
    out = work / base.replace(":", "-")
    made = cookiecutter(out, "--no-input", str(TEMPLATE), *answers)
    if made.returncode:
        raise RuntimeError(made.stdout + made.stderr)
    return Bake(out / f"service-{interface}", {})


def article(venv: Path) -> Server:
    """Give the article's command; what is added says where it listens, and spares the home."""
    command = (
        *(f"{venv}/bin/gunicorn", "ex_serv:app"),
        *("--bind=127.0.0.1:{port}", "--no-control-socket", "--log-level=warning"),
    )
    return Server(ARTICLE, command, HERE / "article", {}, (HI,))


def one_worker(services: dict[str, Service], theirs: Path) -> list[Server]:
    """Give every server that runs one worker on one core."""
    wsgi, asgi = (services[interface] for interface in INTERFACES)
    with_theirs = Service(wsgi.bake, theirs), Service(asgi.bake, theirs)
    uvicorn = (
        *(f"{theirs}/bin/uvicorn", "--port={port}", "--loop=uvloop", "--http=httptools"),
        *("--no-access-log", "--log-level=warning", "fastapi_app:app"),
    )
    granian = (
        *(f"{theirs}/bin/granian", "--interface=wsgi", "--port={port}", "--workers=1"),
        *("--log-level=warning", "falcon_wsgi:app"),
    )
    servers = [article(wsgi.venv)]
    for interface, worker_class in zip(INTERFACES, ("gthread", "asgi"), strict=True):
        service, application = services[interface], f"falcon_{interface}:app"
        servers += [
            service.server(EVERYTHING[interface], 1),
            service.gunicorn(NOTHING[interface], application, ""),
            service.gunicorn(FALCON[interface], application, worker_class),
        ]
    return [
        *servers,
        with_theirs[1].gunicorn(UVLOOP, "falcon_asgi:app", "asgi", "--asgi-loop=uvloop"),
        with_theirs[0].gunicorn(FLASK, "flask_app:app", "gthread"),
        Server(FASTAPI, uvicorn, APPS, {}),
        Server(GRANIAN, granian, APPS, {}),
    ]


def measure(servers: Sequence[Running], rounds: int, seconds: int, cores: Sequence[int]) -> Samples:
    """Load servers in rounds, from some cores, and one more round before, which does not count."""
    samples: Samples = {(it.name, path): [] for it in servers for path in it.paths}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds} ...", flush=True)
        for it in servers:
            for path in it.paths:
                sample = it.load(path, seconds, cores)
                if number:
                    samples[it.name, path].append(sample)
    return samples


def measure_servers(
    servers: Sequence[Server],
    arguments: argparse.Namespace,
    cores: Sequence[int],
    load: Sequence[int],
) -> Samples:
    """Run servers at the same time on some cores, and load them from others."""
    with ExitStack() as stack:
        them = [stack.enter_context(running(it, cores, load)) for it in servers]
        return measure(them, arguments.rounds, arguments.seconds, load)


def further_worker(service: Service, cores: Sequence[int]) -> float:
    """Give the memory in MB that each worker adds after the first, when all have served."""
    memory = []
    for workers in (1, 1 + MORE_WORKERS):
        with running(service.server("memory", workers), cores, cores) as it:
            for path in it.paths:
                it.load(path, 1, cores)
            memory.append(pss(tree(it.process)))
    return (memory[1] - memory[0]) / MORE_WORKERS


@contextmanager
def container(
    name: str, image: str, environment: dict[str, str], core: int
) -> Iterator[tuple[Running, str]]:
    """Run an image on one core while the context lasts, in the network of this machine."""
    port = free_port()
    environment = {
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        **environment,
    }
    flags = [f"--env={variable}={value}" for variable, value in environment.items()]
    identity = docker("run", "--detach", "--network=host", f"--cpuset-cpus={core}", *flags, image)
    try:
        process = int(docker("inspect", "--format={{.State.Pid}}", identity))
        it = Running(name, process, port, (HI, JSON))
        it.check()
        yield it, identity
    finally:
        docker("rm", "--force", "--volumes", identity)


def container_pss(identity: str) -> float:
    """Give the memory of a container in MB; its own user may read it, this one may not."""
    code = (
        "import glob, os\n"
        "others = set(glob.glob('/proc/[0-9]*')) - {f'/proc/{os.getpid()}'}\n"
        "lines = (line for it in others for line in open(it + '/smaps_rollup'))\n"
        "print(sum(int(line.split()[1]) for line in lines if line.startswith('Pss:')))"
    )
    return int(docker("exec", identity, "python3", "-I", "-S", "-c", code)) * 1024 / 1e6


def best_of(timed: str) -> float:
    """Give the time in µs that timeit printed."""
    return float(re.search(r"best of [0-9]+: ([0-9.]+) usec", timed)[1])


@dataclass(frozen=True)
class Images:
    """What was measured of images: loads, memory in MB, and what Python each of the bases has.

    `alone` is the time in µs that each base's Python takes for PYTHON_ALONE.
    """

    samples: Samples
    memory: dict[str, float]
    pythons: dict[str, str]
    alone: dict[str, float]


def measure_images(
    work: Path, arguments: argparse.Namespace, core: int, load: Sequence[int]
) -> Images:
    """Build the service's images on the bases, and measure them, on Alpine without mimalloc too."""
    tags, runs, pythons, alone = {}, [], {}, {}
    try:
        for interface in INTERFACES:
            for base in BASES:
                name = f"{base}, {interface}"
                tags[name] = f"{IMAGE}:{interface}-{base.partition(':')[0]}"
                print(f"building {name} ...", flush=True)
                make_service(work, interface, base).make("docker", IMAGE=tags[name])
                pythons[base] = docker("run", "--rm", tags[name], "python3", "-VV")
                timed = docker("run", "--rm", f"--cpuset-cpus={core}", tags[name], *PYTHON_ALONE)
                alone[base] = min(best_of(timed), alone.get(base, math.inf))
                runs.append((name, tags[name], {}))
            runs.append((f"{PLAIN_ALPINE}, {interface}", tags[name], {"LD_PRELOAD": ""}))
        with ExitStack() as stack:
            them = [stack.enter_context(container(*run, core)) for run in runs]
            servers = [it for it, _ in them]
            samples = measure(servers, arguments.rounds, arguments.seconds, load)
            memory = {it.name: container_pss(identity) for it, identity in them}
    finally:
        subprocess.run(["docker", "image", "rm", *tags.values()], capture_output=True, check=False)
    return Images(samples, memory, pythons, alone)


def ratios(
    samples: Samples, one: tuple[str, str], other: tuple[str, str], figure: str
) -> list[float]:
    """Give a figure of one server divided by that of another, round by round."""
    pairs = zip(samples[one], samples[other], strict=True)
    return [getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in pairs]


def compare_servers(single: Samples, double: Samples) -> Iterator[Comparison]:
    """Yield what is compared of the servers on one core, and of those on two."""
    for it in EVERYTHING.values():
        rate = ratios(double, (it, HI), (ARTICLE, HI), "rate")
        yield Comparison(f"hi on two cores, requests a second: {it} / {ARTICLE}", rate, least=1.8)
        p99 = ratios(double, (it, HI), (ARTICLE, HI), "p99")
        yield Comparison(f"hi on two cores, p99: {it} / {ARTICLE}", p99, most=1)

    def saved(mine: str, theirs: str, path: str, least: float | None) -> Comparison:
        what = f"{NAMES[path]}, requests a CPU second: {mine} / {theirs}"
        return Comparison(what, ratios(single, (theirs, path), (mine, path), "cpu"), least=least)

    for path in (HI, JSON):
        yield saved(FALCON["wsgi"], FLASK, path, 1.7)
        yield saved(EVERYTHING["wsgi"], FLASK, path, 1.3)
        yield saved(FALCON["asgi"], FASTAPI, path, 1.25)
        yield saved(UVLOOP, FASTAPI, path, 1.5)
        yield saved(GRANIAN, FALCON["wsgi"], path, None)
        for interface, most in zip(INTERFACES, (1.25, 1.35), strict=True):
            mine, bare = EVERYTHING[interface], NOTHING[interface]
            yield Comparison(
                f"{NAMES[path]}, CPU of a request: {mine} / {bare}",
                ratios(single, (mine, path), (bare, path), "cpu"),
                most=most if path == HI else None,
            )


def compare_memory(memory: dict[str, float]) -> Iterator[Comparison]:
    """Yield the memory in MB of each further worker, by interface."""
    for interface, megabytes in memory.items():
        what = f"memory of each further worker, MB: {EVERYTHING[interface]}"
        yield Comparison(what, [megabytes], most=12)


def compare_images(samples: Samples, alone: dict[str, float]) -> Iterator[Comparison]:
    """Yield what is compared of the images, and of their Pythons alone."""
    slim, alpine = BASES
    for interface in INTERFACES:
        for path in (HI, JSON):
            for base, most in ((alpine, 1.05), (PLAIN_ALPINE, None)):
                one, other = (f"{base}, {interface}", path), (f"{slim}, {interface}", path)
                what = f"{NAMES[path]}, CPU of a request: {one[0]} / {slim}"
                yield Comparison(what, ratios(samples, one, other, "cpu"), most=most)
    yield Comparison(f"Python alone, by timeit: {alpine} / {slim}", [alone[alpine] / alone[slim]])


def samples_table(samples: Samples, memory: dict[str, float] | None = None) -> str:
    """Give the table of what was measured of each server and path."""
    head = ["server", "answer", "CPU, µs", "requests/s", "p50, ms", "p99, ms"]
    lines = []
    for (name, path), them in samples.items():
        cpu, rate, p50, p99 = map(statistics.median, zip(*them, strict=True))
        line = [name, NAMES[path], f"{cpu:.0f}", f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}"]
        lines.append(line + ([f"{memory[name]:.1f}"] if memory else []))
    return table(head + (["memory, MB"] if memory else []), lines, left=2)


def versions(venv: Path, *names: str) -> str:
    """Give the versions of what a virtual environment holds."""
    code = "import sys; from importlib.metadata import version as v\n"
    code += "print(', '.join(f'{name} {v(name)}' for name in sys.argv[1:]))"
    command = [f"{venv}/bin/python", "-c", code, *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def needs() -> list[int]:
    """Give the CPUs that may be used, or leave with one line that says what is missing."""
    packages = {"wrk": "wrk", "taskset": "util-linux"}
    for program, package in packages.items():
        if not shutil.which(program):
            sys.exit(f"{program} is missing: install it, for example by `apt install {package}`")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("the benchmark needs two CPUs, one for the load: there is one")
    return cores


def engine() -> bool:
    """Tell whether a Docker engine answers."""
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )


def compare(arguments: argparse.Namespace, cores: Sequence[int], work: Path) -> str:
    """Measure everything, and give it as a document."""
    load, core, both = cores[:1], cores[1:2], cores[:2]
    images = None
    if not arguments.no_images and engine():
        images = measure_images(work / "images", arguments, core[0], load)
    services = {}
    for interface in INTERFACES:
        bake = make_service(work, interface, ALPINE)
        venv = virtual_environment(work / f"{interface}-venv", bake.path / "requirements.txt")
        services[interface] = Service(bake, venv)
    lock = services["wsgi"].bake.path / "requirements.txt"
    theirs = virtual_environment(work / "their-venv", APPS / "requirements.txt", lock)
    print("one worker on one core:", flush=True)
    single = measure_servers(one_worker(services, theirs), arguments, core, load)
    print("two cores:", flush=True)
    two = [article(services["wsgi"].venv)]
    two += [replace(services[it].server(EVERYTHING[it], 2), paths=(HI,)) for it in INTERFACES]
    # With a third core, the load has that to itself.
    double = measure_servers(two, arguments, both, cores[2:3] or both)
    memory = {interface: further_worker(services[interface], both) for interface in INTERFACES}
    comparisons = [*compare_servers(single, double), *compare_memory(memory)]
    in_images = "Not measured."
    if images:
        comparisons += compare_images(images.samples, images.alone)
        pythons = "\n".join(f"- {base}: {python}." for base, python in images.pythons.items())
        in_images = f"{samples_table(images.samples, images.memory)}\n\n{pythons}"
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    names = ("falcon", "gunicorn", "flask", "fastapi", "uvicorn", "httptools", "uvloop", "granian")
    return f"""# Speed

Written by `make bench-http`, which serves the same answers from this template's service and from
others side by side, and loads them in turn. The top of [speed.py](speed.py) says what is measured,
[apps](apps/) holds the bare applications.

- {found[1] if found else os.uname().machine}, {os.cpu_count()} cores; Python {
        platform.python_version()
    }.
- {versions(theirs, *names)}; {wrk.partition(" [")[0]}.
- {arguments.rounds} rounds of {arguments.seconds} s for each server and answer, {
        CONNECTIONS
    } connections.
- Figures are those of one machine: compare them within this run.{
        arguments.note and f" {arguments.note}"
    }

## Against the targets

{
        table(
            ["compared", "median", "lowest to highest", "target", ""],
            [it.line() for it in comparisons],
        )
    }

"All off" is a bare application on the worker class and the settings of the template's service.
"Python alone" is the bare interpreter, on work that no allocator and no setting can speed up.

## One worker on one core, the load on another

{samples_table(single)}

## All of two cores

{ARTICLE.capitalize()} has one worker, the template's service two{
        "" if cores[2:] else "; the load runs on the same cores"
    }.

{samples_table(double)}

## Images

One worker on one core, the load on another. The memory is that of all processes.

{in_images}
"""


def main() -> None:
    """Read the command line, measure, and write the document."""
    parser = argparse.ArgumentParser(description="Compare servers; see the top of this file.")
    parser.add_argument("--seconds", type=int, default=1, help="of each load (1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is loaded (5)")
    parser.add_argument("--no-images", action="store_true", help="do not build images")
    parser.add_argument("--note", default="", help="a sentence on the machine, for the document")
    arguments = parser.parse_args()
    cores = needs()
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_NAME": "Bench", f"GIT_{role}_EMAIL": "bench@example.com"}
    with TemporaryDirectory() as folder:
        text = compare(arguments, cores, Path(folder))
    (HERE / "http.md").write_text(text, "utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
