"""How many workers fit into what the container may use."""

import os
from math import ceil
from pathlib import Path

MIB = 2**20
# What the processes take under load, with room for what the service adds: one worker, and the
# master process with all that the workers share.
WORKER_BYTES = 48 * MIB
SHARED_BYTES = 64 * MIB


def cpu_limit(cgroup: Path) -> float | None:
    """Return the CPUs that a control group, of version 2 or 1, may use at a time, or None."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    return None if quota in {"max", "-1"} else int(quota) / int(period)


def memory_limit(cgroup: Path) -> int | None:
    """Return the bytes of memory that a control group, of version 2 or 1, may use, or None."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        # Version 1 says that there is no limit with a number that no machine has.
        return None if text == "max" or int(text) > 2**60 else int(text)
    return None


def plan(wanted: int, cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, str]:
    """Return the number of workers to start, and the reason, as a line for the log.

    One worker a CPU keeps all CPUs busy, as long as the memory holds them. A number that
    is wanted wins, unless it is 0.
    """
    # macOS has no affinity.
    has_affinity = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_limit(cgroup)
    memory = memory_limit(cgroup)
    workers = ceil(min(cpus, quota or cpus))
    reason = f"{cpus} CPUs, {f'{quota:g} allowed' if quota else 'no limit'}"
    if memory is None:
        reason += "; no memory limit"
    else:
        fit = max(1, (memory - SHARED_BYTES) // WORKER_BYTES)
        workers = min(workers, fit)
        reason += f"; memory limit of {memory // MIB} MiB, enough for {fit}"
    if wanted:
        return wanted, f"workers: {wanted}, as WEB_CONCURRENCY says ({reason})"
    return workers, f"workers: {workers} ({reason})"
