"""What the benchmark of speed measures, of a server that runs, and writes, of made-up figures."""

import os
import re
import shlex
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import speed
from load import CONNECTIONS, HI, JSON, Sample, cpu_time, pss, tree
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
def article(tools: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> speed.Server:
    """Give the article's command, and put a wrk on the path that runs in a container."""
    wrk = tmp_path / "wrk"
    volume = f"--volume={TEMPLATE}/benchmarks:{TEMPLATE}/benchmarks:ro"
    run = shlex.join(["docker", "run", "--rm", "--network=host", volume, tools, "wrk"])
    wrk.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    wrk.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return speed.article(Path(sys.prefix))


@pytest.mark.image
def test_load(article: speed.Server) -> None:
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
def test_wrong_answer(article: speed.Server) -> None:
    wrong = replace(article, paths=(JSON,))
    cores = sorted(os.sched_getaffinity(0))
    with (
        pytest.raises(RuntimeError, match=f"{article.name}: /greetings answered 404"),
        speed.running(wrong, cores, cores),
    ):
        pass


def test_children_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        parent.stdout.readline()
        processes = tree(parent.pid)
        assert len(processes) == 2
        # of one child that has ended, and of one that has not
        assert 0.55 < cpu_time(processes) < 1
        maps = "".join(Path(f"/proc/{process}/smaps").read_text() for process in processes)
        shares = re.findall(r"^Pss: +([0-9]+) kB$", maps, re.MULTILINE)
        assert pss(processes) == pytest.approx(sum(map(int, shares)) * 1024 / 1e6, rel=0.05)


def test_comparisons() -> None:
    servers = [speed.ARTICLE, *speed.FALCON.values(), speed.UVLOOP, speed.FLASK, speed.FASTAPI]
    servers += [speed.GRANIAN, *speed.EVERYTHING.values(), *speed.NOTHING.values()]
    same = {(name, path): [Sample(100, 10, 1, 2)] * 3 for name in servers for path in (HI, JSON)}
    flask = [Sample(cpu, 10, 1, 2) for cpu in (150, 170, 400)]
    single = same | {(speed.FLASK, HI): flask}
    lines = [it.line() for it in speed.compare_servers(single, same)]
    of_flask = [line[1:] for line in lines if line[0].startswith("hi") and speed.FLASK in line[0]]
    assert of_flask == [
        ["1.70", "1.50 to 4.00", ">= 1.7", "met"],
        ["1.70", "1.50 to 4.00", ">= 1.3", "met"],
    ]
    p99 = [line[1:] for line in lines if "p99" in line[0]]
    assert p99 == [["1.00", "1.00 to 1.00", "<= 1", "met"]] * 2
    assert [line[4] for line in lines if line[3].startswith(">=")].count("**missed**") == 8
    assert [line[3:] for line in lines if "granian" in line[0]] == [["", ""]] * 2
    assert f"| {speed.FLASK} | hi | 170 | 10 | 1.0 | 2.0 |" in speed.samples_table(single)
    too_much = next(speed.compare_memory({"wsgi": 12.1})).line()
    assert too_much[1:] == ["12.10", "", "<= 12", "**missed**"]


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
