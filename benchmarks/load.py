"""How a server is run and loaded, and what it takes; speed.py says what is compared."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request

from support import free_port, get

SCRIPT = Path(__file__).parent / "apps" / "load.lua"
CONNECTIONS = 32
TICKS = os.sysconf("SC_CLK_TCK")

HI, JSON = "/", "/greetings"
ANSWERS = {HI: "hi", JSON: {"text": "hi Ada"}}
GUEST = b'{"name": "Ada"}'


class Sample(NamedTuple):
    """What one load showed: CPU time of a request in µs, requests a second, latencies in ms."""

    cpu: float
    rate: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Server:
    """How a server is started; `{port}` in the command and the environment is where it listens."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    paths: Sequence[str] = (HI, JSON)


@dataclass(frozen=True)
class Running:
    """A server that listens: the ID of its first process, and its port."""

    name: str
    process: int
    port: int
    paths: Sequence[str]

    def check(self) -> None:
        """Wait until it listens.

        Raises:
            RuntimeError: it does not answer as the others do.
        """
        for path in self.paths:
            request = Request(f"http://127.0.0.1:{self.port}{path}")
            if path == JSON:
                request.data = GUEST
                request.add_header("Content-Type", "application/json")
            status, text = get(request, 60)
            if status >= 300 or (json.loads(text) if path == JSON else text) != ANSWERS[path]:
                raise RuntimeError(f"{self.name}: {path} answered {status}: {text}")

    def load(self, path: str, seconds: int, cores: Sequence[int]) -> Sample:
        """Load one path for so many seconds, from these cores; return what was measured.

        Raises:
            RuntimeError: more than one request in a thousand failed.
        """
        url = f"http://127.0.0.1:{self.port}{path}"
        command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
        command += [f"--script={SCRIPT}", url, "--", GUEST.decode() if path == JSON else ""]
        before = cpu_time(tree(self.process))
        result = subprocess.run(on(cores, *command), capture_output=True, text=True, check=False)
        spent = cpu_time(tree(self.process)) - before
        if result.returncode:
            raise RuntimeError(f"wrk {url}: {result.stdout}{result.stderr}")
        told = json.loads(result.stdout.splitlines()[-1])
        if told["failed"] * 1000 > told["requests"]:
            raise RuntimeError(f"{self.name}: {told['failed']} of {told['requests']} failed")
        rate = told["requests"] / told["seconds"]
        return Sample(spent / told["requests"] * 1e6, rate, told["p50"], told["p99"])


def needs() -> list[int]:
    """Return the CPUs that may be used, or leave with one line that says what is missing."""
    packages = {"wrk": "wrk", "taskset": "util-linux"}
    for program, package in packages.items():
        if not shutil.which(program):
            sys.exit(f"{program} is missing: install it, for example by `apt install {package}`")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("the benchmark needs two CPUs, one for the load: there is one")
    return cores


def on(cores: Sequence[int], *command: str) -> list[str]:
    """Return a command that runs another one on these cores alone."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]


def tree(root: int) -> list[int]:
    """Return the IDs of a process and of all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_time(processes: Iterable[int]) -> float:
    """Return the seconds of CPU, user and system, of processes and of the children they reaped."""
    ticks = 0
    for process in processes:
        stat = Path(f"/proc/{process}/stat").read_text()
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / TICKS


@contextmanager
def running(server: Server, cores: Sequence[int], log_cores: Sequence[int]) -> Iterator[Running]:
    """Run a server on some cores while the context lasts; what it prints is read on others."""
    port = free_port()
    command = [part.format(port=port) for part in server.command]
    environment = {name: value.format(port=port) for name, value in server.environment.items()}
    keep = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    process = subprocess.Popen(
        on(cores, *command), cwd=server.folder, env=keep | environment, stdout=subprocess.PIPE
    )
    # A pipe with a reader, as a container engine has one.
    cat = on(log_cores, "cat")
    with process, subprocess.Popen(cat, stdin=process.stdout, stdout=subprocess.DEVNULL):
        try:
            it = Running(server.name, process.pid, port, server.paths)
            it.check()
            yield it
        finally:
            process.terminate()
