"""Make a virtual environment fit to ship: pruned, whole and compiled.

Usage: /opt/venv/bin/python finish_venv.py pyproject.toml

Uninstalls every distribution that neither the project nor one of its requirements requires: pip
itself, and setuptools where venv brings it. Ends with status 1 and a line for each requirement
that is missing from what is left.
"""

import compileall
import subprocess
import sys
import tomllib
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
