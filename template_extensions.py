"""The one place that decides how an answer is checked and written into a file."""

import re
import runpy
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension

_HOOK = runpy.run_path(str(Path(__file__).with_name("hooks") / "pre_gen_project.py"))

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
    """Give value as a double-quoted word of a Dockerfile, where "$" would name a variable."""
    return quoted(value).replace("$", "\\$")


def hcl_quoted(value: str) -> str:
    """Give value as a double-quoted string of HCL, where "${" and "%{" would open a template."""
    return quoted(value).replace("${", "\\u0024{").replace("%{", "\\u0025{")


def markdown(value: str) -> str:
    """Give value as Markdown text that renders as it was typed."""
    return _MARKDOWN_BLOCK.sub(r"\1\\", _MARKDOWN_INLINE.sub(r"\\\g<0>", value))


def requirement(reference: str) -> str:
    """Give a direct reference in the form of PEP 508, "name @ url", or "" for none."""
    return reference and _HOOK["direct_reference"](reference)


class AnswersExtension(Extension):
    """Adds the functions of this module to cookiecutter's environment, as filters."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters in environment."""
        super().__init__(environment)
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
