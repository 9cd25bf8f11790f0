"""Make a virtual environment fit to ship: pruned, stripped, whole and compiled.

Usage: /opt/venv/bin/python finish_venv.py pyproject.toml

Uninstalls every distribution that neither the project nor one of its requirements requires: pip
itself, and setuptools where venv brings it. Strips the libraries of the others. Ends with status 1
and a line for each requirement that is missing from what is left.
"""

import compileall
import csv
import hashlib
import struct
import subprocess
import sys
import tomllib
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution, distributions
from itertools import chain
from pathlib import Path
from py_compile import PycInvalidationMode

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def installed() -> dict[str, Distribution]:
    """Give the distributions of this environment by their normalized names."""
    return {canonicalize_name(each.name): each for each in distributions()}


def walk(requirements: list[str]) -> tuple[set[str], list[str]]:
    """Follow requirements, and what they require in turn.

    Returns:
        The names of the distributions that are required, and a line for each that is missing.
    """
    present, seen, problems = installed(), set(), []
    pending = [(Requirement(line), "", "the project") for line in requirements]
    while pending:
        requirement, extra, parent = pending.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name not in present:
            problems.append(f"{parent} requires {requirement}, which is not installed")
            continue
        version = present[name].version
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{parent} requires {requirement}, but {version} is installed")
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                lines = present[name].requires or []
                pending += [(Requirement(line), wanted, name) for line in lines]
    return {name for name, _ in seen}, problems


def strip(library: Path) -> None:
    """Cut a library after its segments, all that is ever loaded; symbols for debuggers follow.

    What is no ELF file of 64 bits stays as it is.
    """
    data = bytearray(library.read_bytes())
    if data[:6] != b"\x7fELF\x02\x01":
        return
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    end = headers + count * size
    for at in range(headers, end, size):
        end = max(end, sum(struct.unpack_from("<8xQ16xQ", data, at)))
    # There is no table of sections any more.
    data[40:48] = bytes(8)
    data[58:64] = bytes(6)
    library.write_bytes(data[:end])


def strip_libraries() -> None:
    """Strip the libraries of all distributions, and note their new hashes in the records."""
    for record in Path(sys.prefix).glob("lib/python*/site-packages/*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for row in rows:
            path = record.parents[1] / row[0]
            if ".so" in path.suffixes:
                strip(path)
                data = path.read_bytes()
                digest = urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                row[1:] = [f"sha256={digest}", str(len(data))]
        with record.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def main(pyproject: Path) -> int:
    """Finish this environment for the project that a pyproject.toml describes.

    Returns:
        The exit status: 0, or 1 where a requirement is missing.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    dependencies = project["dependencies"]
    # The lock decides which extras are there.
    extras = chain.from_iterable(project.get("optional-dependencies", {}).values())
    present = [line for line in extras if canonicalize_name(Requirement(line).name) in installed()]
    dependencies += present
    required, _ = walk(dependencies)
    unneeded = sorted(set(installed()) - required)
    if unneeded:
        pip = [sys.executable, "-m", "pip", "--quiet", "uninstall", "--yes"]
        subprocess.run([*pip, *unneeded], check=True)  # noqa: S603
    strip_libraries()
    # The files do not change any more, so an import need not compare them with their bytecode.
    # What is no valid Python, such as a template, stays as it is: pip does the same.
    compileall.compile_dir(
        sys.prefix, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    _, problems = walk(dependencies)
    for problem in problems:
        print(f"{problem}: run make lock", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
