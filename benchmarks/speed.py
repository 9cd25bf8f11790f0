"""Serve the same answers from several servers, side by side, and compare what a request costs.

Usage: PYTHONPATH=tests python benchmarks/speed.py [--seconds 1] [--rounds 5] [--note TEXT]

Writes http.md beside this file. It needs Linux, two CPUs, and wrk and taskset on the path. All
servers run on the Python that runs this.

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
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from load import CONNECTIONS, HI, JSON, Running, Sample, Server, needs, running
from measures import make_service
from report import ratio, table
from support import Bake, free_port

HERE = Path(__file__).parent
APPS = HERE / "apps"
NAMES = {HI: "hi", JSON: "JSON"}

Samples = dict[tuple[str, str], list[Sample]]

ARTICLE = "the article's command"
EVERYTHING = {"wsgi": "this template, wsgi", "asgi": "this template, asgi"}
NOTHING = {interface: f"{served}, all off" for interface, served in EVERYTHING.items()}
BARE = {"wsgi": "Falcon, gunicorn gthread", "asgi": "Falcon, gunicorn asgi"}
FLASK = "Flask, gunicorn gthread"
FASTAPI = "FastAPI, uvicorn, uvloop"
GRANIAN = "Falcon, granian, WSGI"

COMPARED = (
    (EVERYTHING["wsgi"], BARE["wsgi"]),
    (EVERYTHING["asgi"], BARE["asgi"]),
    (BARE["wsgi"], FLASK),
    (EVERYTHING["wsgi"], FLASK),
    (BARE["asgi"], FASTAPI),
    (EVERYTHING["asgi"], FASTAPI),
)


@dataclass(frozen=True)
class Service:
    """A service made from the template, in a virtual environment of its lock."""

    bake: Bake
    venv: Path

    def server(self, name: str, workers: int = 1, *application: str) -> Server:
        """Return the service as it serves itself, or another application in its place."""
        environment = {
            "PORT": "{port}",
            "METRICS_PORT": str(free_port()),
            "PYTHONPATH": f"src:{APPS}",
            "WEB_CONCURRENCY": str(workers),
            "DRAIN_SECONDS": "0",
        }
        return Server(
            name, (f"{self.venv}/bin/gunicorn", *application), self.bake.path, environment
        )

    def threads(self) -> str:
        """Return how many threads its worker has."""
        code = "from gunicorn.app.wsgiapp import WSGIApplication as App; print(App().cfg.threads)"
        loaded = self.bake.run(f"{self.venv}/bin/python", "-c", code, PYTHONPATH="src")
        loaded.check_returncode()
        return loaded.stdout.split()[-1]


def virtual_environment(folder: Path, *locks: Path) -> Path:
    """Make a virtual environment of what some locks pin; of two pins, the later one counts."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    for lock in locks:
        subprocess.run([*pip, "--no-deps", "--require-hashes", f"--requirement={lock}"], check=True)
    return folder


def serve(work: Path, interface: str) -> Service:
    """Make a service from the template, and its virtual environment."""
    bake = make_service(work, interface=interface)
    lock = bake.path / "requirements.txt"
    return Service(bake, virtual_environment(work / f"{interface}-venv", lock))


def gunicorn(name: str, venv: Path, *arguments: str) -> Server:
    """Return a server of the bare applications: gunicorn, which nothing but these configures."""
    command = (f"{venv}/bin/gunicorn", "--bind=127.0.0.1:{port}", "--log-level=warning")
    return Server(name, (*command, "--no-control-socket", *arguments), APPS, {})


def article(venv: Path) -> Server:
    """Return the article's command, which answers hi alone."""
    return replace(gunicorn(ARTICLE, venv, "ex_serv:app"), folder=HERE / "article", paths=(HI,))


def one_worker(wsgi: Service, asgi: Service, theirs: Path) -> list[Server]:
    """Return every server, each with one worker."""
    gthread = ("--worker-class=gthread", f"--threads={wsgi.threads()}")
    uvicorn = (
        *(f"{theirs}/bin/uvicorn", "--port={port}", "--loop=uvloop", "--http=httptools"),
        *("--no-access-log", "--log-level=warning", "fastapi_app:app"),
    )
    granian = (
        *(f"{theirs}/bin/granian", "--interface=wsgi", "--port={port}", "--workers=1"),
        *("--log-level=warning", "falcon_wsgi:app"),
    )
    return [
        article(wsgi.venv),
        wsgi.server(EVERYTHING["wsgi"]),
        wsgi.server(NOTHING["wsgi"], 1, "falcon_wsgi:app"),
        gunicorn(BARE["wsgi"], wsgi.venv, *gthread, "falcon_wsgi:app"),
        asgi.server(EVERYTHING["asgi"]),
        asgi.server(NOTHING["asgi"], 1, "falcon_asgi:app"),
        gunicorn(BARE["asgi"], asgi.venv, "--worker-class=asgi", "falcon_asgi:app"),
        gunicorn(FLASK, theirs, *gthread, "flask_app:app"),
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


def cpu_table(samples: Samples) -> str:
    """Return the table of what a request costs one server, divided by what it costs another."""
    lines = []
    for mine, theirs in COMPARED:
        costs = [
            ratio([it.cpu for it in samples[mine, path]], [it.cpu for it in samples[theirs, path]])
            for path in NAMES
        ]
        lines.append([f"{mine} / {theirs}", *costs])
    return table(["CPU of a request", *NAMES.values()], lines)


def p99_table(samples: Samples) -> str:
    """Return the table of the template's p99, divided by that of the article's command."""
    theirs = [it.p99 for it in samples[ARTICLE, HI]]
    lines = [
        [f"{name} / {ARTICLE}", ratio([it.p99 for it in samples[name, HI]], theirs)]
        for name in EVERYTHING.values()
    ]
    return table(["p99 on two cores", "hi"], lines)


def samples_table(samples: Samples) -> str:
    """Return the table of what was measured of each server and path."""
    lines = []
    for (name, path), them in samples.items():
        cpu, rate, p50, p99 = map(statistics.median, zip(*them, strict=True))
        lines.append([name, NAMES[path], f"{cpu:.0f}", f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}"])
    head = ["server", "answer", "CPU, µs", "requests/s", "p50, ms", "p99, ms"]
    return table(head, lines, left=2)


def versions(venv: Path, *names: str) -> str:
    """Return the versions of what a virtual environment holds."""
    code = "import sys; from importlib.metadata import version as v\n"
    code += "print(', '.join(f'{name} {v(name)}' for name in sys.argv[1:]))"
    command = [f"{venv}/bin/python", "-c", code, *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def compare(arguments: argparse.Namespace, cores: Sequence[int], work: Path) -> str:
    """Measure everything, and return it as a document."""
    wsgi, asgi = serve(work, "wsgi"), serve(work, "asgi")
    lock = wsgi.bake.path / "requirements.txt"
    theirs = virtual_environment(work / "their-venv", APPS / "requirements.txt", lock)
    print("one worker on one core:", flush=True)
    single = measure_servers(one_worker(wsgi, asgi, theirs), arguments, cores[1:2], cores[:1])
    print("two cores:", flush=True)
    two = [
        article(wsgi.venv),
        replace(wsgi.server(EVERYTHING["wsgi"], 2), paths=(HI,)),
        replace(asgi.server(EVERYTHING["asgi"], 2), paths=(HI,)),
    ]
    # With a third core, the load has that to itself.
    double = measure_servers(two, arguments, cores[:2], cores[2:3] or cores[:2])
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    names = ("falcon", "gunicorn", "flask", "fastapi", "uvicorn", "httptools", "uvloop", "granian")
    return f"""# Speed

Written by `make bench-http`, which serves the same answers from this template's service and from
others side by side, and loads them in turn. The top of [speed.py](speed.py) says what is measured,
[apps](apps/) holds the bare applications.

- {found[1] if found else os.uname().machine}, {os.cpu_count()} cores.
- Python {sys.version}, for every server.
- {versions(theirs, *names)}; {wrk.partition(" [")[0]}.
- {arguments.rounds} rounds of {arguments.seconds} s for each server and answer, {
        CONNECTIONS
    } connections.
- Figures are those of one machine: compare them within this run.{
        arguments.note and f" {arguments.note}"
    }

## Ratios

The median of the rounds, with the lowest and the highest; less is better.

{cpu_table(single)}

{p99_table(double)}

## One worker on one core, the load on another

"All off" is the bare application of Falcon, served by the template's `gunicorn.conf.py`. Workers of
the class gthread have as many threads as the template's.

{samples_table(single)}

## All of two cores

{ARTICLE.capitalize()} has one worker, the template's service two{
        "" if cores[2:] else "; the load runs on the same cores"
    }.

{samples_table(double)}
"""


def main() -> None:
    """Read the command line, measure, and write the document."""
    parser = argparse.ArgumentParser(description="Compare servers; see the top of this file.")
    parser.add_argument("--seconds", type=int, default=1, help="of each load (1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is loaded (5)")
    parser.add_argument("--note", default="", help="a sentence on the machine, for the document")
    arguments = parser.parse_args()
    cores = needs()
    with TemporaryDirectory() as folder:
        text = compare(arguments, cores, Path(folder))
    (HERE / "http.md").write_text(text, "utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
