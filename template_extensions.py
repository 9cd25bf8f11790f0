"""Filters that check an answer, and that write it into TOML, Markdown or a Dockerfile."""

import ast
import json
import keyword
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
from cookiecutter import __version__
from jinja2 import Environment
from jinja2.ext import Extension

# The first cookiecutter that finds templates/, and shows the choices as cookiecutter.json has them.
OLDEST = (2, 2, 3)

PROMPTS = json.loads(Path(__file__).with_name("cookiecutter.json").read_text("utf-8"))

MAX_LENGTH = 250
# Keeps every line with the package's name within the 100 characters that the linter allows: the
# longest, an import in app.py, has 57 others.
MAX_SLUG_LENGTH = 40

# src/ comes before everything else on the path of the service, so its package would hide these:
# the standard library, with what Python 3.14 has added,
STANDARD_LIBRARY = sys.stdlib_module_names | {"annotationlib", "compression"}
# and what the service, its tests and its debugger import, or look for.
IMPORTED = {
    *("anyio", "asgiref", "debugpy", "falcon", "google", "gunicorn", "gunicorn_h1c", "iniconfig"),
    *("dev", "inotify", "msgpack", "msgspec", "offapi", "opentelemetry", "packaging", "pluggy"),
    *("prometheus_client", "py", "pygments", "pytest", "requests", "setproctitle", "snappy"),
    *("spectree", "tests", "testtools", "typing_extensions", "uvloop", "watchfiles", "wrapt"),
}
# Names that Windows keeps for devices, and does not allow for a folder,
DEVICES = {"aux", "con", "nul", "prn", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}
# and those that YAML reads as another value than text.
TAKEN = DEVICES | {"false", "n", "no", "null", "off", "on", "true", "y", "yes"}

ORIGIN = r"https://([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z0-9]+(-+[a-z0-9]+)*(:[1-9][0-9]{0,4})?"
# What the name of an image may be made of, in lower case.
COMPONENT = r"[A-Za-z0-9]+(([._]|__|-+)[A-Za-z0-9]+)*"

# PEP 508: a name, its extras, and a URL that ends at the first space.
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
EXTRAS = rf"\[\s*(?:{NAME}(?:\s*,\s*{NAME})*)?\s*\]"
NAMED = re.compile(
    rf"(?P<name>{NAME}\s*(?:{EXTRAS})?)\s*@\s*(?P<url>\S+)(?:\s+;\s*(?P<marker>.+))?"
)
# pip's own form, where the name is in the fragment.
BARE = re.compile(r"(?P<url>[A-Za-z+]+://\S+?)(?:\s*;\s+(?P<marker>.+))?")
# git over what GitHub serves, or an archive over https. A file:// URL would
# name a place inside the container that builds.
SCHEMES = ("git+https", "git+ssh", "git+http", "https")
MARKER_VARIABLES = {
    *("implementation_name", "implementation_version", "os_name", "platform_machine"),
    *("platform_python_implementation", "platform_release", "platform_system", "platform_version"),
    *("python_full_version", "python_version", "sys_platform"),
}

# Controls, lone surrogates, line and paragraph separators.
CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
# What reorders the line around it, so that a reviewer reads another text (CVE-2021-42574).
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

# What CommonMark and GitHub read as markup inside a line: "_" only where it can open or close
# emphasis, "&" where it begins an entity, and "#" where it would close a heading.
MARKDOWN_INLINE = re.compile(r"[\\`*<\[~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<= )#(?=#*$)")
# What begins a block at the start of a paragraph: a heading, quote, list or rule.
MARKDOWN_BLOCK = re.compile(r"^(\d{0,9})(?=>|[-+=#.)](?:[\s\-=#]|$))")

Rules = Iterator[str]


def text_rules(value: object) -> Rules:
    """Yield the rules that an answer of any kind breaks."""
    if not isinstance(value, str):
        yield "must be text"
        return
    if not value:
        yield "must not be empty"
    if value != value.strip():
        yield "must not begin or end with a space"
    if len(value) > MAX_LENGTH:
        yield f"must be at most {MAX_LENGTH} characters long"
    if any(unicodedata.category(character) in CONTROL_CATEGORIES for character in value):
        yield "must not contain control characters"
    if any(unicodedata.bidirectional(character) in BIDI_CONTROLS for character in value):
        yield "must not contain bidirectional control characters"


def choice_rules(choices: list[str], value: str) -> Rules:
    """Yield the rule that an answer breaks that is not one of the choices, as in a replay."""
    if value not in choices:
        yield f"must be one of {', '.join(choices)}"


def slug_rules(slug: str) -> Rules:
    """Yield the rules that a slug breaks, which names a distribution and a package."""
    package = slug.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        yield "must be lower-case letters, digits and single hyphens, and begin with a letter"
    elif len(slug) > MAX_SLUG_LENGTH:
        yield f"must be at most {MAX_SLUG_LENGTH} characters long"
    elif keyword.iskeyword(package):
        yield "must not be a Python keyword"
    elif package in STANDARD_LIBRARY:
        yield "must not be the name of a standard library module"
    elif package in IMPORTED:
        yield "must not be the name of a module that the service or its tests import"
    elif slug in TAKEN:
        yield "must not be the name of a Windows device, nor a value of YAML"


def email_rules(email: str) -> Rules:
    """Yield the rules that an e-mail address breaks."""
    if not re.fullmatch(r"""[^\s@<>()\[\],;:\\"]+@[^\s@<>()\[\],;:\\"]+""", email):
        yield "must be an e-mail address, like name@example.com"


def repository_rules(url: str) -> Rules:
    """Yield the rules that the URL of the repository breaks, which names the image, too."""
    if not re.match(f"{ORIGIN}/", url):
        yield "must begin with https:// and a host in lower case, without a credential"
    elif not re.fullmatch(f"{ORIGIN}(/{COMPONENT}){{2,}}", url):
        yield "must have an owner and a name, of letters, digits, and single . _ or - between them"
    elif url.endswith(".git") or re.match("https://github.com/.*/.*/", url):
        yield "must end with the name of the repository, without .git"


def is_marker(text: str) -> bool:
    """Return whether text is an environment marker of PEP 508.

    Apart from two operators, markers are comparisons as Python writes them.
    """
    try:
        tree = ast.parse(re.sub(r"~=|===", "==", text.strip()), mode="eval").body
    except (SyntaxError, ValueError):
        return False
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BoolOp):
            pending += node.values
        elif not (
            isinstance(node, ast.Compare)
            and len(node.ops) == 1
            and not isinstance(node.ops[0], (ast.Is, ast.IsNot))
            and all(
                (isinstance(side, ast.Name) and side.id in MARKER_VARIABLES)
                or (isinstance(side, ast.Constant) and isinstance(side.value, str))
                for side in (node.left, *node.comparators)
            )
        ):
            return False
    return True


def direct_reference(reference: str) -> str:
    """Return a direct reference in the form of PEP 508: "name[extra] @ url ; marker".

    Args:
        reference: A reference in that form, or in pip's older "url#egg=name[extra]".

    Raises:
        ValueError: The reference breaks a rule, which is the message.
    """
    match = NAMED.fullmatch(reference) or BARE.fullmatch(reference)
    if not match:
        raise ValueError(
            "must be a direct reference, like name @ git+https://github.com/org/repo.git@ref"
        )
    url, marker = match["url"], match["marker"]
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only when asked for
    except ValueError:
        raise ValueError("must be a URL: git+ssh://git@host/path, not git@host:path") from None
    name = match.groupdict().get("name") or parse_qs(parts.fragment).get("egg", [""])[0]
    repository, at, revision = parts.path.partition("@")
    if not re.fullmatch(rf"{NAME}\s*(?:{EXTRAS})?", name):
        raise ValueError("must name the distribution: name @ url, or url#egg=name")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)} as its URL's scheme")
    if parts.password or (parts.username and parts.scheme != "git+ssh"):
        raise ValueError(
            "must not contain a credential: netrc and git's configuration are for those"
        )
    if not parts.hostname or not repository.strip("/") or (at and not revision):
        raise ValueError("must name a host, a repository and, after @, a revision")
    if re.search(r'["<>\\^`{|}]', url):
        raise ValueError("must have a URL without characters that RFC 3986 does not allow")
    if marker and not is_marker(marker):
        raise ValueError("must have an environment marker of PEP 508 after the semicolon")
    return "".join(name.split()) + f" @ {url}" + (f" ; {marker.strip()}" if marker else "")


def dependency_rules(reference: str, slug: str) -> Rules:
    """Yield the rules that the dependency from GitHub breaks."""
    try:
        name = re.split(r"\[| @ ", direct_reference(reference))[0]
    except ValueError as error:
        yield str(error)
        return
    normalized = re.sub(r"[-_.]+", "-", name).lower()
    if normalized in {slug, "falcon", "gunicorn", "pip"}:
        yield f"must not be {normalized}, which the service has already"


def refusal(answers: Mapping[str, str]) -> str:
    """Return the line that refuses the first bad answer, or "" if all are good.

    Args:
        answers: The answers by the name of their prompt.
    """
    rules: dict[str, Callable[[str], Rules]] = {
        "project_slug": slug_rules,
        "author_email": email_rules,
        "repository_url": repository_rules,
        "github_dependency": lambda value: dependency_rules(value, answers["project_slug"]),
    }
    for field, value in answers.items():
        if field.startswith("_") or (field == "github_dependency" and value == ""):
            continue
        choices = PROMPTS.get(field)
        own = partial(choice_rules, choices) if isinstance(choices, list) else rules.get(field)
        for check in (text_rules, own):
            for rule in check(value) if check else ():
                shown = json.dumps(value, ensure_ascii=False)
                return f"{field} {shown if shown.isprintable() else json.dumps(value)} {rule}"
    return ""


def keeping(answers: Mapping[str, str]) -> str:
    """Return the line with the command that keeps all answers but the last, or "" for none."""
    *good, _ = (field for field in answers if not field.startswith("_"))
    context = click.get_current_context(silent=True)
    # under cruft, or from Python, there is no such command
    given = sys.argv[1:] if context and "template" in context.params else ["TEMPLATE"]
    command = ["cookiecutter", *(it for it in given if it.partition("=")[0] not in answers)]
    # on the command line, an answer is a template
    command += (f"{it}=" + re.sub("{[{%#]", r'{{ "\g<0>" }}', answers[it]) for it in good)
    return f"\nTo keep the answers before it: {shlex.join(command)}" if good else ""


def refuse_bad_answers(answers: Mapping[str, str]) -> str:
    """Return nothing, or end the program before the next question, with nothing created.

    The pre_gen_project hook applies the same rules, but cookiecutter reports a failed hook with a
    traceback, and leaves the parents of a slug such as "a/b" behind.

    Raises:
        SystemExit: The last answer is refused.
    """
    line = refusal(answers)
    if line:
        raise SystemExit(line + keeping(answers))
    return ""


def quoted(value: str) -> str:
    """Return value as a double-quoted string of TOML, YAML, JSON and Python.

    Answers contain no control characters, so only the backslash and the quote need an escape.
    """
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def hcl_quoted(value: str) -> str:
    """Return value as a double-quoted string of HCL, where "${" and "%{" would open a template."""
    return quoted(value).replace("${", "\\u0024{").replace("%{", "\\u0025{")


def markdown(value: str) -> str:
    """Return value as Markdown that renders as it was typed."""
    return MARKDOWN_BLOCK.sub(r"\1\\", MARKDOWN_INLINE.sub(r"\\\g<0>", value))


def requirement(reference: str) -> str:
    """Return a direct reference in the form of PEP 508, or "" for none."""
    return reference and direct_reference(reference)


class AnswersExtension(Extension):
    """The functions of this module that a template may use, as filters."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters.

        Raises:
            SystemExit: This cookiecutter is too old.
        """
        super().__init__(environment)
        if tuple(map(int, __version__.split(".")[:3])) < OLDEST:
            needed = ".".join(map(str, OLDEST))
            raise SystemExit(f"This is cookiecutter {__version__}: {needed} is needed, or newer.")
        functions = (refusal, refuse_bad_answers, quoted, hcl_quoted, markdown, requirement)
        for function in functions:
            environment.filters[function.__name__] = function
        # cruft renders two releases in one process, each of which needs its own module
        sys.modules.pop(__name__, None)
