"""Break the template in one place at a time, and list what no test notices.

Each mutant is made in a copy, where the tests that could notice it run until one fails. What was
killed is recorded in .mutants.json, so a run that was stopped can be continued; what survived is
tried again. The table is tools/mutants.md, whose reasons for survivors are written by hand.
"""

import argparse
import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import TEMPLATE, copy_template, git

SERVICE = "{{cookiecutter.project_slug}}"
DOCKERFILE = f"{SERVICE}/Dockerfile"
EXTENSION = "template_extensions.py"
TABLE = TEMPLATE / "tools" / "mutants.md"
KILLED = TEMPLATE / ".mutants.json"
# The share of the mutants that must be killed.
TARGET = 0.95

RENDERED = ("tests/render/test_render.py", "-m", "not slow")
# The tests that could notice, cheapest first.
STAGES = {
    "validators": (
        ("tests/render/test_refusals.py::test_refusal",),
        ("tests/render/test_answers.py", "tests/render/test_refusals.py", "-m", "not slow"),
        ("tests/render/test_render.py", "tests/render/test_same.py", "-k", "same or pep_508"),
    ),
    "conditionals": (
        RENDERED,
        ("tests/render/test_gitlab_release.py",),
        ("tests/render/test_answers.py", "tests/render/test_git.py", "-m", "not slow"),
    ),
    "dockerfile": (RENDERED, ("tests/image",)),
}

CONDITION = re.compile(r"(\{%-?\s*(?:el)?if\s+)(.+?)(\s*-?%\})")
SET = re.compile(r"(\{%-?\s*set\s+\w+\s*=\s*)(.+?)(\s*-?%\})")
INLINE = re.compile(r"(\{\{(?:(?!\}\}).)*?\sif\s+)(.+?)(\s+else\b|\s*\}\})")
SURVIVOR = re.compile(r"^\| `(.+?):\d+` \| (.+) \| (.*) \|$", re.MULTILINE)
INSTRUCTION = re.compile(r"[A-Z]+ ")


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        kind: validators, conditionals or dockerfile.
        path: The file, relative to the template.
        line: The line that is changed, counted from 1.
        change: What is changed, in words.
        text: The whole file after the change.
        renamed: The path after the change.
    """

    kind: str
    path: str
    line: int
    change: str
    text: str = field(repr=False)
    renamed: str

    @property
    def key(self) -> str:
        """Hash of its content, which differs once the file has changed."""
        whole = "\0".join((self.kind, self.path, self.renamed, self.text))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    @property
    def where(self) -> str:
        """Its place, without the folder that every file of the service is in."""
        return f"{self.path.removeprefix(SERVICE + '/')}:{self.line}"


def breaks(node: ast.AST) -> Iterator[tuple[str, str, object]]:
    """Yield what can be broken in a node: the change in words, the field, and its new value."""
    if isinstance(node, ast.If | ast.IfExp):
        yield f"never `if {ast.unparse(node.test)}`", "test", ast.Constant(value=False)
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            rest = [other for other in node.values if other is not value]
            yield f"without `{ast.unparse(value)}` of `{ast.unparse(node)}`", "values", rest
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        change = f"no effect of `{ast.unparse(node)}`"
        if node.func.attr == "replace":
            yield change, "args", [node.args[0], node.args[0]]
        if node.func.attr == "sub":
            yield change, "args", [*node.args[:-2], ast.Constant(r"\g<0>"), node.args[-1]]


def validators() -> Iterator[Mutant]:
    """Yield the rules that never apply, and the filters that change nothing."""
    tree = ast.parse((TEMPLATE / EXTENSION).read_text("utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            for change, name, value in breaks(node):
                before = getattr(node, name)
                setattr(node, name, value)
                text = ast.unparse(ast.fix_missing_locations(tree))
                setattr(node, name, before)
                line = getattr(node, "lineno", function.lineno)
                yield Mutant("validators", EXTENSION, line, change, text, EXTENSION)


def conditionals() -> Iterator[Mutant]:
    """Yield the conditions of Jinja, negated, in files and in their names."""
    names = git(TEMPLATE, "ls-files", "-z").rstrip("\0").split("\0")
    rendered = (SERVICE, "templates", "cookiecutter.json", "hooks")
    for path in names:
        if not path.startswith(rendered):
            continue
        source = (TEMPLATE / path).read_text("utf-8")
        for kind, text in (("name", path), ("text", source)):
            matches = [m for regex in (CONDITION, SET, INLINE) for m in regex.finditer(text)]
            for match in sorted(matches, key=lambda match: match.start(2)):
                condition = match[2]
                if match.re is SET and not re.search(r"==|\bin\b|startswith", condition):
                    continue
                mutated = text[: match.start(2)] + f"not ({condition})" + text[match.end(2) :]
                line = text.count("\n", 0, match.start(2)) + 1
                change = f"not `{condition}`" + (" in the name" if kind == "name" else "")
                new = {"name": (source, mutated), "text": (mutated, path)}[kind]
                yield Mutant("conditionals", path, line, change, *new)


def dockerfile() -> Iterator[Mutant]:
    """Yield the Dockerfile without one of its lines, which may be one that continues another."""
    lines = (TEMPLATE / DOCKERFILE).read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        pragma = line.startswith("# hadolint")
        if not line.strip() or line.startswith("{%") or (line.startswith("#") and not pragma):
            continue
        others = [i for i, each in enumerate(lines) if each and not each.startswith("{%")]
        before = max((i for i in others if i < number), default=number)
        after = min((i for i in others if i > number), default=number)
        kept = list(lines)
        opens, goes_on = INSTRUCTION.match(line), line.endswith("\\")
        kept[number] = f"{opens[0]}\\" if opens and goes_on else ""
        if not goes_on and not opens and not pragma:
            kept[before] = kept[before].rstrip("\\ ")
        if goes_on and lines[after].lstrip().startswith("&& "):
            first = not line.lstrip().startswith("&& ")
            kept[after] = lines[after].replace("&& ", "", 1) if first else lines[after]
        if not kept[number]:
            del kept[number]
        text = "\n".join(kept) + "\n"
        change = f"without `{line.strip().rstrip(chr(92)).rstrip()}`"
        yield Mutant("dockerfile", DOCKERFILE, number + 1, change, text, DOCKERFILE)


KINDS = {each.__name__: each for each in (validators, conditionals, dockerfile)}


def failing_test(folder: Path, arguments: Sequence[str]) -> str:
    """Run tests in a copy of the template until one fails, and return its ID, or "" for none.

    Raises:
        RuntimeError: pytest itself failed.
    """
    failures = folder / ".pytest_cache" / "v" / "cache" / "lastfailed"
    failures.unlink(missing_ok=True)
    plugins = ("-p", "xdist", "-p", "cookies")
    command = [sys.executable, "-m", "pytest", *plugins, "-n0", "-x", "-q", *arguments]
    variables = os.environ | {
        # other plugins, schemathesis above all, would triple the time of a start
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # the bytecode of a module that is written twice in a second would not be renewed
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "",
    }
    result = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if failures.exists():
        return str(next(iter(json.loads(failures.read_text("utf-8")))))
    if result.returncode or not re.search(r"\d+ passed", result.stdout):
        raise RuntimeError(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")
    return ""


def killer(mutant: Mutant, folder: Path) -> str:
    """Return the test that notices a mutant, or "" for none, and leave the copy as it was."""
    before = (folder / mutant.path).read_text("utf-8")
    (folder / mutant.path).unlink()
    (folder / mutant.renamed).write_text(mutant.text, "utf-8")
    try:
        stages = STAGES[mutant.kind]
        return next(filter(None, (failing_test(folder, stage) for stage in stages)), "")
    finally:
        (folder / mutant.renamed).unlink()
        (folder / mutant.path).write_text(before, "utf-8")


def machine() -> str:
    """Return a description of the machine that this runs on."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}"


def reasons() -> dict[tuple[str, str], list[str]]:
    """Return the reasons that the table has, by file and change, in their order."""
    found: dict[tuple[str, str], list[str]] = {}
    text = TABLE.read_text("utf-8") if TABLE.exists() else ""
    for where, change, why in SURVIVOR.findall(text):
        found.setdefault((where, change), []).append(why)
    return found


def write_table(mutants: dict[str, list[Mutant]], outcomes: dict[str, str]) -> bool:
    """Write the table, and tell whether enough of the mutants that ran were killed."""
    lines, survivors, enough = [], [], True
    known = reasons()
    for kind, made in mutants.items():
        ran = [mutant for mutant in made if mutant.key in outcomes]
        alive = [mutant for mutant in ran if not outcomes[mutant.key]]
        share = (len(ran) - len(alive)) / len(ran) if ran else 0
        enough &= share >= TARGET or not ran
        shown = f"{share:.1%}" if ran else ""
        lines.append(
            f"| {kind} | {len(made)} | {len(made) - len(ran)} | {len(ran) - len(alive)} "
            f"| {len(alive)} | {shown} |"
        )
        for mutant in alive:
            change = mutant.change.replace("|", "\\|")
            whys = known.get((mutant.where.rpartition(":")[0], change), [])
            survivors.append(f"| `{mutant.where}` | {change} | {whys.pop(0) if whys else '?'} |")
    TABLE.write_text(
        f"""# Mutants

Written by `make mutate`, which breaks a copy of the template in one place at a time and runs the
tests that could notice it. Measured on {machine()}; a mutant
that has changed since its last run counts as not run.

| kind | mutants | not run | killed | survived | killed of those that ran |
| --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(lines)}

Validators are the conditions and replacements of `{EXTENSION}`, each without effect;
conditionals are those of Jinja, negated; of the Dockerfile, one line at a time is left out.

## Survivors

| where | change | why |
| --- | --- | --- |
{chr(10).join(survivors) or "| none | | |"}
""".rstrip("\n")
        + "\n",
        "utf-8",
    )
    return enough


def main() -> None:
    """Run the mutants of the kind on the command line, or of all, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", nargs="?", choices=KINDS, help="all, unless named")
    parser.add_argument("--only", default="", help="what their place and change must match")
    options = parser.parse_args()
    mutants = {kind: list(make()) for kind, make in KINDS.items()}
    outcomes = json.loads(KILLED.read_text("utf-8")) if KILLED.exists() else {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_template(folder)
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        for kind in [options.kind] if options.kind else KINDS:
            chosen = [m for m in mutants[kind] if re.search(options.only, f"{m.where} {m.change}")]
            todo = [mutant for mutant in chosen if not outcomes.get(mutant.key)]
            print(f"{kind}: {len(chosen)} mutants, {len(todo)} to run", flush=True)
            for number, mutant in enumerate(todo, 1):
                started = time.monotonic()
                outcomes[mutant.key] = killer(mutant, folder)
                KILLED.write_text(json.dumps(outcomes, indent=0), "utf-8")
                print(
                    f"[{number}/{len(todo)}] {mutant.where} {mutant.change}: "
                    f"{outcomes[mutant.key] or 'SURVIVED'} ({time.monotonic() - started:.0f} s)",
                    flush=True,
                )
                write_table(mutants, outcomes)
            killers = {outcomes[mutant.key] for mutant in chosen if outcomes[mutant.key]}
            if killers and (failed := failing_test(folder, sorted(killers))):
                sys.exit(f"{failed} fails where nothing is broken: the table is void.")
    if not write_table(mutants, outcomes):
        sys.exit(f"Less than {TARGET:.0%} are killed: {TABLE.name} lists the tests to write.")


if __name__ == "__main__":
    main()
