"""Say which locked dependencies have no wheel for the base image, before it is built.

Usage: python check_wheels.py BASE_IMAGE PYTHON_VERSION, in the folder of the lock. Asks the index
that pip is configured for, and installs nothing. Ends with status 1 where a wheel is missing.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

# Requirements with the hashes of their files, and the same for one platform.
Lock = list[tuple[Requirement, set[str]]]
Pins = dict[str, set[str]]

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# Up to musl 1.2 and to the glibc of Debian 13, which the images have.
PLATFORMS = {
    "musl": ["linux", *(f"musllinux_1_{minor}" for minor in range(3))],
    "glibc": ["linux", "manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, 42))],
}


def read(path: Path) -> Lock:
    """Give what a file locks; nothing where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = re.findall(r"^[^\s#].*", text.replace("\\\n", ""), re.M)
    parts = [re.split(r"\s+--hash=sha256:", line.strip()) for line in lines]
    return [(Requirement(requirement), set(hashes)) for requirement, *hashes in parts]


def pins_for(lock: Lock, machine: str, python: str) -> Pins:
    """Give the pins of a lock that a machine under Linux installs."""
    target = {
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return {
        f"{each.name}{each.specifier}": hashes
        for each, hashes in lock
        if not each.url and (not each.marker or each.marker.evaluate(target))
    }


def options_for(python: str, libcs: Iterable[str], machines: Iterable[str]) -> list[str]:
    """Give the options that make pip look for wheels for these targets, whatever it runs on."""
    prefixes = [prefix for libc in libcs for prefix in PLATFORMS[libc]]
    platforms = [f"--platform={prefix}_{machine}" for prefix in prefixes for machine in machines]
    return ["--implementation=cp", f"--python-version={python}", *platforms]


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this environment's pip; give its status and what it printed."""
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def without_wheel(pins: Pins, libc: str, machine: str, python: str) -> set[str]:
    """Give the pins that have no wheel for a platform among the files that their hashes allow.

    Raises:
        SystemExit: the index has nothing of a pin, or does not answer; carries what pip says.
    """
    if not pins:
        return set()
    # pip asks for a target. Given hashes it would load whole wheels, and not their metadata alone.
    result = pip(
        *("install", "--dry-run", "--quiet", "--report=-", "--no-deps", "--ignore-installed"),
        *("--target=unused", "--only-binary=:all:", *options_for(python, [libc], [machine])),
        *pins,
    )
    if result.returncode == 0:
        files = [each["download_info"] for each in json.loads(result.stdout)["install"]]
        hashes = {each["archive_info"].get("hashes", {}).get("sha256") for each in files}
        if hashes - {None} <= set().union(*pins.values()):
            return set()
    if len(pins) > 1:
        items, middle = list(pins.items()), len(pins) // 2
        halves = dict(items[:middle]), dict(items[middle:])
        return set().union(*(without_wheel(half, libc, machine, python) for half in halves))
    [pin] = pins
    name, _, version = pin.partition("==")
    anywhere = options_for(python, PLATFORMS, MACHINES.values())
    versions = pip("index", "versions", "--pre", "--ignore-requires-python", *anywhere, name)
    if version not in re.split(r"[\s,]+", versions.stdout):
        raise SystemExit(
            f"pip finds nothing of {pin} for Python {python}:\n{versions.stderr.strip()}"
        )
    return {pin}


def missing(lock: Lock, libc: str, python: str) -> dict[str, list[str]]:
    """Give the pins of a lock that have no wheel, each with the platforms that lack it."""
    found: dict[str, list[str]] = {}
    for platform, machine in MACHINES.items():
        for pin in without_wheel(pins_for(lock, machine, python), libc, machine, python):
            found.setdefault(pin, []).append(platform)
    return found


def main(base_image: str, python: str) -> int:
    """Print a line for each locked dependency that a base image builds from source.

    Returns:
        The exit status: 0, or 1 where a wheel is missing.
    """
    libc, other, other_image = "glibc", "musl", f"python:{python}-alpine"
    if "alpine" in base_image:
        libc, other, other_image = "musl", "glibc", f"python:{python}-slim"
    lock = read(Path("requirements.txt"))
    for requirement, _ in lock + read(Path("requirements-git.txt")):
        if requirement.url:
            print(f"{requirement.name} is built from source: {requirement.url}")
    lacking = missing(lock, libc, python)
    rest = [(each, hashes) for each, hashes in lock if f"{each.name}{each.specifier}" in lacking]
    unavoidable = missing(rest, other, python)
    for pin, platforms in sorted(lacking.items()):
        advice = f"; {other_image} avoids that"
        if pin in unavoidable:
            advice = " unless it is pure Python; no base image avoids that"
        where = f"{libc} on {' and '.join(platforms)}"
        print(f"{pin} has no wheel for {where}: it needs a compiler in the build stage{advice}")
    if not lacking:
        print(f"Every pin has a wheel for {libc} and Python {python} on {' and '.join(MACHINES)}.")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
