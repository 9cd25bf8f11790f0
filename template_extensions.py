"""The one place that decides how an answer is checked and written into a file."""

import json
import logging
import os
import re
import runpy
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from traceback import walk_tb
from types import TracebackType

from cookiecutter import __version__
from jinja2 import Environment
from jinja2.ext import Extension

_HOOK = runpy.run_path(str(Path(__file__).with_name("hooks") / "pre_gen_project.py"))

# The first cookiecutter that finds templates/, and shows the choices as cookiecutter.json has them.
OLDEST = (2, 2, 3)

# What CommonMark and GitHub read as markup inside a line: "_" only where it can open or close
# emphasis, "&" where it begins an entity, and "#" where it would close a heading.
_MARKDOWN_INLINE = re.compile(r"[\\`*<\[~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<= )#(?=#*$)")
# What begins a block at the start of a paragraph: a heading, quote, list or rule.
_MARKDOWN_BLOCK = re.compile(r"^(\d{0,9})(?=>|[-+=#.)](?:[\s\-=#]|$))")


def refuse_bad_answers(answers: Mapping[str, str]) -> Mapping[str, str]:
    """Give the answers back, or end the program before anything is created.

    The pre_gen_project hook applies the same rules, but cookiecutter reports a failed hook with a
    traceback and leaves the parents of a slug such as "a/b" behind.

    Raises:
        SystemExit: an answer is refused; carries the line that names field, value and rule.
    """
    refusal = _HOOK["refusal"](answers)
    if refusal:
        raise SystemExit(refusal)
    return answers


def quoted(value: str) -> str:
    """Give value as a double-quoted string of TOML, YAML, JSON and Python.

    Answers hold no control characters, so the backslash and the quote are all there is to escape.
    """
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dockerfile_quoted(value: str) -> str:
    """Give value as a double-quoted word of a Dockerfile, where "$" would name a variable.

    hadolint takes every backslash before a quote for its escape, so a variable that is not set
    parts the two.
    """
    parts = re.split(r'(?<=\\)(?="|$)', value)
    return '"' + "${unset:-}".join(quoted(part)[1:-1].replace("$", "\\$") for part in parts) + '"'


def hcl_quoted(value: str) -> str:
    """Give value as a double-quoted string of HCL, where "${" and "%{" would open a template."""
    return quoted(value).replace("${", "\\u0024{").replace("%{", "\\u0025{")


def markdown(value: str) -> str:
    """Give value as Markdown text that renders as it was typed."""
    return _MARKDOWN_BLOCK.sub(r"\1\\", _MARKDOWN_INLINE.sub(r"\\\g<0>", value))


def requirement(reference: str) -> str:
    """Give a direct reference in the form of PEP 508, "name @ url", or "" for none."""
    return reference and _HOOK["direct_reference"](reference)


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line what cookiecutter ends with a traceback for, and remove what is half made.

    That is a disk or folder that cannot be written, an answer on the command line that is a broken
    template, and one that is typed in another encoding.
    """
    frames = {frame.f_code.co_name: frame.f_locals for frame, _ in walk_tb(trace)}
    making = frames.get("generate_files", {})
    if making.get("delete_project_on_failure"):
        shutil.rmtree(making["project_dir"], ignore_errors=True)
    prompting = frames.get("prompt_for_config", {})
    field = prompting.get("key", "_")
    if isinstance(error, OSError):
        print(f"Nothing is made: {error.__cause__ or error}", file=sys.stderr)
    elif isinstance(error, UnicodeError):
        print(f"{field} cannot be read: {error}", file=sys.stderr)
    elif not field.startswith("_"):
        print(
            f"{field} {json.dumps(prompting['raw'])} cannot be rendered: {error}", file=sys.stderr
        )
    else:
        sys.__excepthook__(kind, error, trace)


def give_modes() -> None:
    """Let the files of a project have the same modes, whatever umask its author and user have.

    cookiecutter gives every file the mode that it has in the template.
    """
    os.umask(0o022)
    for folder in Path(__file__).parent.glob("{{cookiecutter.*"):
        for path in (folder, *folder.rglob("*")):
            with suppress(OSError):
                path.chmod(0o755 if path.is_dir() else 0o644)


class AnswersExtension(Extension):
    """Adds the functions of this module to cookiecutter's environment, as filters."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters in environment.

        Raises:
            SystemExit: this cookiecutter is too old; carries the line that says so.
        """
        super().__init__(environment)
        if tuple(map(int, __version__.split(".")[:3])) < OLDEST:
            needed = ".".join(map(str, OLDEST))
            raise SystemExit(f"This is cookiecutter {__version__}: {needed} is needed, or newer.")
        sys.excepthook = explain
        give_modes()
        # its log of a hook that refused the answers of a replay would be a traceback
        logging.getLogger("cookiecutter.hooks").disabled = True
        functions = (
            refuse_bad_answers,
            quoted,
            dockerfile_quoted,
            hcl_quoted,
            markdown,
            requirement,
        )
        for function in functions:
            environment.filters[function.__name__] = function
        # cruft renders two releases in one process; the next one has a module of its own
        sys.modules.pop(__name__, None)
