"""What the benchmark of speed measures, of a server that runs, and writes, of made-up figures."""

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import speed
from load import CONNECTIONS, HI, JSON, Sample, Server, cpu_time, running, tree
from support import TEMPLATE

# A process that has had a child, and has another one; each child burns 0.3 s of CPU.
BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
FAMILY = f"""
import subprocess, sys
burn = [sys.executable, "-c", {BURN!r}]
subprocess.run(burn, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.run(burn)
"""


@pytest.fixture
def article(tools: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return the article's command, and put a wrk on the path that runs in a container."""
    wrk = tmp_path / "wrk"
    volume = f"--volume={TEMPLATE}/benchmarks:{TEMPLATE}/benchmarks:ro"
    run = shlex.join(["docker", "run", "--rm", "--network=host", volume, tools, "wrk"])
    wrk.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    wrk.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return speed.article(Path(sys.prefix))


@pytest.mark.image
def test_load(article: Server) -> None:
    cores = sorted(os.sched_getaffinity(0))
    samples = speed.measure_servers(
        [article, replace(article, name="again")], Namespace(rounds=1, seconds=1), cores, cores
    )
    assert list(samples) == [(article.name, HI), ("again", HI)]
    for (sample,) in samples.values():
        # a worker that does nothing but answer takes some of a core's time, and no more than all
        assert 0.05 < sample.cpu * sample.rate / 1e6 < 1.05
        assert 0 < sample.p50 <= sample.p99
        # all connections are busy all the time
        assert sample.rate * sample.p50 / 1e3 < 2 * CONNECTIONS


@pytest.mark.image
def test_wrong_answer(article: Server) -> None:
    wrong = replace(article, paths=(JSON,))
    cores = sorted(os.sched_getaffinity(0))
    with (
        pytest.raises(RuntimeError, match=f"{article.name}: /greetings answered 404"),
        running(wrong, cores, cores),
    ):
        pass


def test_children_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        parent.stdout.readline()
        processes = tree(parent.pid)
        assert len(processes) == 2
        # of one child that has ended, and of one that has not
        assert 0.55 < cpu_time(processes) < 1


def test_ratios() -> None:
    servers = [speed.ARTICLE, *speed.EVERYTHING.values(), *speed.BARE.values(), speed.FLASK]
    samples = {(name, path): [Sample(100, 10, 1, 2)] * 3 for name in servers for path in (HI, JSON)}
    samples[speed.FASTAPI, HI] = samples[speed.FASTAPI, JSON] = [Sample(200, 10, 1, 2)] * 3
    samples[speed.EVERYTHING["wsgi"], HI] = [Sample(cpu, 10, 1, cpu) for cpu in (150, 120, 400)]
    cpu = speed.cpu_table(samples).splitlines()
    same, half = "1.00 (1.00 to 1.00)", "0.50 (0.50 to 0.50)"
    assert cpu[0] == "| CPU of a request | hi | JSON |"
    served, bare = speed.EVERYTHING["wsgi"], speed.BARE["wsgi"]
    assert f"| {served} / {bare} | 1.50 (1.20 to 4.00) | {same} |" in cpu
    assert f"| {speed.BARE['asgi']} / {speed.FASTAPI} | {half} | {half} |" in cpu
    p99 = speed.p99_table(samples)
    assert f"| {served} / {speed.ARTICLE} | 75.00 (60.00 to 200.00) |" in p99
    assert f"| {served} | hi | 150 | 10 | 1.0 | 150.0 |" in speed.samples_table(samples)


def test_no_load_generator(tmp_path: Path) -> None:
    script = TEMPLATE / "benchmarks" / "speed.py"
    result = subprocess.run(
        [sys.executable, script],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(TEMPLATE / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == "wrk is missing: install it, for example by `apt install wrk`\n"
