"""The number of workers fits the limits of a container."""

from pathlib import Path

import pytest

from {{ cookiecutter.__package_name }}.serving import capacity

UNLIMITED = {
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
}
ROOM_FOR_TWO = capacity.SHARED_BYTES + 2 * capacity.WORKER_BYTES


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)


@pytest.mark.parametrize(
    ("files", "workers"),
    [
        ({}, 8),
        (UNLIMITED, 8),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        (UNLIMITED | {"cpu/cpu.cfs_quota_us": "300000\n"}, 3),
        ({"memory.max": f"{ROOM_FOR_TWO}\n"}, 2),
        ({"memory.max": f"{capacity.MIB}\n"}, 1),
        (UNLIMITED | {"memory/memory.limit_in_bytes": f"{ROOM_FOR_TWO}\n"}, 2),
    ],
)
def test_limits(tmp_path: Path, files: dict[str, str], workers: int) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    count, reason = capacity.plan(0, tmp_path)
    assert count == workers
    assert reason.startswith(f"workers: {workers} (8 CPUs")


def test_a_number_that_is_wanted_wins(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert capacity.plan(5, tmp_path) == (
        5,
        "workers: 5, as WEB_CONCURRENCY says (8 CPUs, 0.5 allowed; no memory limit)",
    )
