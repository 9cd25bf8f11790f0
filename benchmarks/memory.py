"""Measure what the processes of a service take in its image under load.

Usage: PYTHONPATH=tests python benchmarks/memory.py [--seconds 5]

Prints a table to hold WORKER_BYTES and SHARED_BYTES of the service's capacity.py against. It needs
a Docker engine, and wrk and taskset on the path.

The image of each interface, on alpine:latest, runs with one worker and with four, and where it
preloads an allocator, also without that. It is loaded as speed.py does it, for some seconds for
each answer. Read then are the peak of the container's control group, which counts the kernel's part
and the cache of files that no container before has read, and the PSS of its processes. A worker
takes a third of what three more add; the rest is the master's, and what all share.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from images import build, config, docker, running
from load import HI, JSON, Running, needs
from measures import make_service
from report import table
from support import free_port

IMAGE = "cookiecutter-falcon-gunicorn-memory"
WORKERS = (1, 4)
PEAK = "cat /sys/fs/cgroup/memory.peak 2>&- || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
PSS = (
    "import glob, os\n"
    "others = set(glob.glob('/proc/[0-9]*')) - {f'/proc/{os.getpid()}'}\n"
    "lines = (line for it in others for line in open(it + '/smaps_rollup'))\n"
    "print(sum(int(line.split()[1]) for line in lines if line.startswith('Pss:')))"
)


def measure(
    image: str, workers: int, seconds: int, cores: Sequence[int], *options: str
) -> tuple[float, float]:
    """Return the peak of a container under load, and the PSS of its processes after it, in MiB."""
    port = free_port()
    variables = {"PORT": port, "METRICS_PORT": free_port(), "WEB_CONCURRENCY": workers}
    environment = [f"--env={name}={value}" for name, value in variables.items()]
    with running(image, "--network=host", *environment, *options) as container:
        process = int(container.inspect("{{.State.Pid}}"))
        it = Running(image, process, port, (HI, JSON))
        it.check()
        for path in it.paths:
            it.load(path, seconds, cores)
        # Python, which takes memory of its own, comes after the peak has been read.
        peak = int(docker("exec", container.id, "sh", "-c", PEAK))
        # What another user's process takes, only that user may read.
        pss = int(docker("exec", container.id, "python3", "-I", "-S", "-c", PSS))
        return peak / 2**20, pss / 2**10


def compare(image: str, name: str, seconds: int, cores: Sequence[int]) -> list[list[str]]:
    """Return the lines of the table for an image."""
    preloaded = dict(it.split("=", 1) for it in config(image)["Env"]).get("LD_PRELOAD")
    variants: dict[str, tuple[str, ...]] = {name: ()}
    if preloaded:
        variants = {
            f"{name}, {Path(preloaded).name}": (),
            f"{name}, musl's allocator": ("--env=LD_PRELOAD=",),
        }
    lines = []
    for variant, options in variants.items():
        few, many = (measure(image, workers, seconds, cores, *options) for workers in WORKERS)
        for kind, one, four in zip(("peak", "PSS"), few, many, strict=True):
            worker = (four - one) / (WORKERS[1] - WORKERS[0])
            figures = (one, four, worker, one - worker)
            lines.append([variant, kind, *(f"{figure:.1f}" for figure in figures)])
    return lines


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description="Measure memory; see the top of this file.")
    parser.add_argument("--seconds", type=int, default=5, help="of each load (5)")
    seconds = parser.parse_args().seconds
    cores = needs()
    lines = []
    with TemporaryDirectory() as folder:
        for interface in ("wsgi", "asgi"):
            image = f"{IMAGE}:{interface}"
            made = make_service(Path(folder), interface=interface, base_image="alpine:latest")
            build(made.path, image)
            try:
                # The first container of an image is charged for the files that all of them read.
                measure(image, 1, 1, cores)
                lines += compare(image, interface, seconds, cores)
            finally:
                docker("image", "rm", image)
    head = ["MiB", "", "1 worker", f"{WORKERS[1]} workers", "each worker", "the rest"]
    print(table(head, lines, left=2))


if __name__ == "__main__":
    main()
