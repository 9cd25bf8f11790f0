"""Break the template one line, rule or condition at a time, and tell what no test notices.

Each mutant is made in a copy, where the tests that could notice run until one fails. What was
killed is remembered in .mutants.json, so that a run that ended goes on where it was; what survived
is tried again. The table is tools/mutants.md, whose reasons for survivors are written by hand.
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

import pytest
from support import TEMPLATE, copy_template, git

SERVICE = "{{cookiecutter.project_slug}}"
DOCKERFILE = f"{SERVICE}/Dockerfile"
HOOK = "hooks/pre_gen_project.py"
EXTENSION = "template_extensions.py"
TABLE = TEMPLATE / "tools" / "mutants.md"
KILLED = TEMPLATE / ".mutants.json"
# The share of the mutants that has to be killed.
TARGET = 0.95

RENDERED = ("tests/render/test_render.py", "-m", "not image")
LOOKS = "hooks_find_nothing or parse or bots or test_files or choice"
# The tests that could notice, cheapest first.
STAGES = {
    "validators": (
        (
            *(
                "tests/render/test_refusals.py",
                "tests/render/test_answers.py",
                "tests/render/test_situations.py",
            ),
            *("-m", "not image"),
        ),
        ("tests/render/test_render.py", "tests/render/test_same.py", "-k", "same or pep_508"),
    ),
    "conditionals": (
        (*RENDERED, "-k", LOOKS),
        (
            *RENDERED,
            "tests/render/test_answers.py",
            "tests/render/test_git.py",
            "-k",
            f"not ({LOOKS})",
        ),
    ),
    "dockerfile": (
        (*RENDERED, "-k", LOOKS),
        ("tests/image/test_image.py", "-k", "not again"),
        ("tests/image/test_image.py", "-k", "again"),
        ("tests/image/test_stdlib.py", "tests/image/test_pin.py", "tests/image/test_release.py"),
    ),
}
# What else to run first than the tests of the rule that is broken.
HINTS = {
    "is_marker": "environment or spellings",
    "direct_reference": "spellings",
    "dockerfile_quoted": "dockerfile",
    "hcl_quoted": "hcl",
    "markdown": "markdown",
    "quoted": "quoted",
    "explain": "cannot or another or finished",
}
# The same by the words of a line of the Dockerfile, of the tests of images.
LINE_HINTS = {
    r"PIP_DISABLE|apk\.log": "again",
    r"chmod": "umask",
    r"mkdir -m": "temporary",
    r"ROOT": "shell",
    r"org\.opencontainers|VERSION|REVISION": "labels",
    r"apt": "other_bases and slim",
    r"trimmed|pip uninstall": "other_bases and alpine",
    r"packages|minimal": "minimal",
    r"CMD|EXPOSE|HEALTH|PORT|PYTHON|STOP|USER|VOLUME|WORKDIR": "own_user or says or port",
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
        path: the file, relative to the template.
        line: where, counted from 1.
        change: what is changed, in words.
        text: the whole file after it.
        renamed: the path after it.
        hint: which of the tests to run first, as pytest's -k takes it.
    """

    kind: str
    path: str
    line: int
    change: str
    text: str = field(repr=False)
    renamed: str
    hint: str = ""

    @property
    def key(self) -> str:
        """Name it by its content, which is another one when the file has changed."""
        whole = "\0".join((self.kind, self.path, self.renamed, self.text))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    @property
    def where(self) -> str:
        """Say where it is, without the folder that every file of the service is in."""
        return f"{self.path.removeprefix(SERVICE + '/')}:{self.line}"


def span(source: str, node: ast.AST) -> slice:
    """Give the place of a node in its source."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def index(line: int, column: int) -> int:
        text = source[starts[line - 1] :].split("\n", 1)[0]
        return starts[line - 1] + len(text.encode()[:column].decode())

    return slice(index(node.lineno, node.col_offset), index(node.end_lineno, node.end_col_offset))


def rewrites(source: str, node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield what can be broken in a node: the change in words, its place, and its new text."""
    if isinstance(node, ast.If | ast.IfExp):
        condition = " ".join(source[span(source, node.test)].split())
        yield f"never `if {condition}`", node.test, "False"
    if isinstance(node, ast.BoolOp):
        word = "and" if isinstance(node.op, ast.And) else "or"
        for value in node.values:
            rest = [f"({source[span(source, each)]})" for each in node.values if each is not value]
            part = " ".join(source[span(source, value)].split())
            yield f"without `{part}` of an {word}", node, "(" + f" {word} ".join(rest) + ")"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        kept = {"replace": node.func.value, "sub": node.args and node.args[-1]}.get(node.func.attr)
        if kept and not (isinstance(kept, ast.Name) and kept.id == "re"):
            call = " ".join(source[span(source, node)].split())
            kept_text = source[span(source, kept)]
            yield f"`{kept_text}` for `{call}`", node, kept_text


def hints(function: ast.FunctionDef) -> dict[ast.AST, str]:
    """Give the tests to run first by the condition that is broken: those of the rule's words."""
    found = {}
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            constants = [
                each.value
                for statement in node.body
                for each in ast.walk(statement)
                if isinstance(each, ast.Constant) and str(each.value).startswith("must ")
            ]
            words = re.findall(r"\b(?!not|and)[a-z]{3,}", constants[0]) if constants else ()
            for each in (node, *ast.walk(node.test)) if words else ():
                found[each] = " and ".join(words)
    return found


def validators() -> Iterator[Mutant]:
    """Yield the rules that never apply, and the filters that change nothing."""
    for path in (HOOK, EXTENSION):
        source = (TEMPLATE / path).read_text("utf-8")
        for function in ast.walk(ast.parse(source)):
            if not isinstance(function, ast.FunctionDef):
                continue
            known, default = hints(function), HINTS.get(function.name, "")
            body = [node for each in function.body for node in ast.walk(each)]
            for node in sorted(body, key=lambda node: getattr(node, "lineno", 0)):
                for change, place, text in rewrites(source, node):
                    where = span(source, place)
                    mutated = source[: where.start] + text + source[where.stop :]
                    ast.parse(mutated)
                    hint = " or ".join(filter(None, (known.get(node), default)))
                    yield Mutant("validators", path, node.lineno, change, mutated, path, hint)


def conditionals() -> Iterator[Mutant]:
    """Yield the conditions of Jinja, negated, in files and in their names."""
    names = git(TEMPLATE, "ls-files", "-z").rstrip("\0").split("\0")
    rendered = (SERVICE, "templates", "cookiecutter.json", "hooks")
    for path in names:
        if not path.startswith(rendered) or path.startswith(f"{SERVICE}/.github"):
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
    """Yield the Dockerfile without one of its lines, of an instruction or of what continues one."""
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
        kept[number] = f"{opens[0]}\\" if opens and goes_on else None
        if not goes_on and not opens and not pragma:
            kept[before] = kept[before].rstrip("\\ ")
        if goes_on and lines[after].lstrip().startswith("&& "):
            first = not line.lstrip().startswith("&& ")
            kept[after] = lines[after].replace("&& ", "", 1) if first else lines[after]
        text = "\n".join(each for each in kept if each is not None) + "\n"
        change = f"without `{line.strip().rstrip(chr(92)).rstrip()}`"
        hint = next((tests for words, tests in LINE_HINTS.items() if re.search(words, line)), "")
        yield Mutant("dockerfile", DOCKERFILE, number + 1, change, text, DOCKERFILE, hint)


KINDS = {each.__name__: each for each in (validators, conditionals, dockerfile)}


def noticed(folder: Path, arguments: Sequence[str]) -> str:
    """Run tests in a copy of the template until one fails; give its id, "" for none.

    Raises:
        RuntimeError: pytest itself failed.
    """
    failures = folder / ".pytest_cache" / "v" / "cache" / "lastfailed"
    failures.unlink(missing_ok=True)
    plugins = ("-p", "xdist", "-p", "cookies")
    command = [sys.executable, "-m", "pytest", *plugins, "-n0", "-x", "-q", *arguments]
    variables = os.environ | {
        # other plugins, schemathesis above all, would treble the time of a start
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # a module that is written twice in a second would be taken for its first bytecode
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "",
    }
    result = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if failures.exists():
        return next(iter(json.loads(failures.read_text("utf-8"))))
    if result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and "-k" in arguments:
        return ""
    if result.returncode or not re.search(r"\d+ passed", result.stdout):
        raise RuntimeError(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")
    return ""


def try_out(mutant: Mutant, folder: Path) -> str:
    """Give the test that notices a mutant, "" for none; leave the copy as it was."""
    before = (folder / mutant.path).read_text("utf-8")
    (folder / mutant.path).unlink()
    (folder / mutant.renamed).write_text(mutant.text, "utf-8")
    stages = STAGES[mutant.kind]
    if mutant.hint:
        hinted = stages[int(mutant.kind == "dockerfile")]
        stages = ((*hinted, "-k", mutant.hint), *stages)  # the last -k counts
    try:
        return next(filter(None, (noticed(folder, stage) for stage in stages)), "")
    finally:
        (folder / mutant.renamed).unlink()
        (folder / mutant.path).write_text(before, "utf-8")


def machine() -> str:
    """Say what this runs on."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}"


def reasons() -> dict[tuple[str, str], list[str]]:
    """Give the reasons that the table has, by file and change, in their order."""
    found = {}
    text = TABLE.read_text("utf-8") if TABLE.exists() else ""
    for where, change, why in SURVIVOR.findall(text):
        found.setdefault((where, change), []).append(why)
    return found


def write_table(mutants: dict[str, list[Mutant]], outcomes: dict[str, str]) -> bool:
    """Write the table; tell whether enough of what ran was killed."""
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
tests that could notice. Ran on {machine()}.

| kind | mutants | not run | killed | survived | killed of those that ran |
| --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(lines)}

Validators are the conditions and filters of `{HOOK}` and `{EXTENSION}`, each
without effect; conditionals those of Jinja, negated; the lines of the Dockerfile are left out.

## Survivors

| where | change | why |
| --- | --- | --- |
{chr(10).join(survivors)}
""".rstrip("\n")
        + "\n",
        "utf-8",
    )
    return enough


def main() -> None:
    """Run the mutants of the kind on the command line, or of all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
                killer = try_out(mutant, folder)
                outcomes[mutant.key] = killer
                KILLED.write_text(json.dumps(outcomes, indent=0), "utf-8")
                print(
                    f"[{number}/{len(todo)}] {mutant.where} {mutant.change}: "
                    f"{killer or 'SURVIVED'} ({time.monotonic() - started:.0f} s)",
                    flush=True,
                )
                write_table(mutants, outcomes)
            killers = {outcomes[mutant.key] for mutant in chosen if outcomes[mutant.key]}
            if killers and (failed := noticed(folder, sorted(killers))):
                sys.exit(f"{failed} fails where nothing is broken: the table is void.")
    if not write_table(mutants, outcomes):
        sys.exit(f"Less than {TARGET:.0%} are killed: {TABLE.name} lists the tests to write.")


if __name__ == "__main__":
    main()
