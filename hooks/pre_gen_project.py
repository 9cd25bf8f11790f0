"""Refuse the answers that cannot make a working project, in one line, before a file is written."""

import ast
import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import parse_qs, urlsplit

# Those of cookiecutter.json, which a hook cannot read.
CHOICES = {
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
    "base_image": ("alpine:latest", "python:3.14-alpine", "python:3.14-slim", "python:3.14"),
    "interface": ("wsgi", "asgi"),
}
MAX_LENGTH = 250
# Keeps every line with the package's name within the 100 characters that the linter allows, and
# the slug within the 63 of a DNS label.
MAX_SLUG_LENGTH = 50
# The longest name that GitHub gives.
MAX_ORGANIZATION_LENGTH = 39

# The answer must not depend on the Python that asks: what any version since 3.11, the service's
# oldest, has of these.
KEYWORDS = {*keyword.kwlist, *keyword.softkwlist, "lazy", "type"}
STANDARD_LIBRARY = sys.stdlib_module_names | {
    "aifc",
    "annotationlib",
    "asynchat",
    "asyncore",
    "audioop",
    "cgi",
    "cgitb",
    "chunk",
    "compression",
    "crypt",
    "distutils",
    "imghdr",
    "imp",
    "lib2to3",
    "mailcap",
    "msilib",
    "nis",
    "nntplib",
    "ossaudiodev",
    "pipes",
    "profiling",
    "smtpd",
    "sndhdr",
    "spwd",
    "sunau",
    "telnetlib",
    "uu",
    "xdrlib",
}
# Import names that the service's tools use, and its own folders.
TAKEN = {
    "boolean",
    "boolean_py",
    "cfgv",
    "cyclonedx",
    "cyclonedx_python_lib",
    "debugpy",
    "defusedxml",
    "distlib",
    "falcon",
    "filelock",
    "gunicorn",
    "identify",
    "iniconfig",
    "license_expression",
    "msgspec",
    "nodeenv",
    "opentelemetry",
    "packageurl",
    "packageurl_python",
    "packaging",
    "pip",
    "platformdirs",
    "pluggy",
    "pre_commit",
    "prometheus_client",
    "py",
    "py_serializable",
    "pygments",
    "pytest",
    "python_discovery",
    "setuptools",
    "sortedcontainers",
    "spectree",
    "src",
    "test",
    "tests",
    "typing_extensions",
    "uv",
    "virtualenv",
    "yaml",
}
# Names that Windows keeps for devices and cannot give to a folder.
DEVICES = {"aux", "con", "nul", "prn", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}

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
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_version",
    "python_full_version",
    "implementation_name",
    "implementation_version",
}

# Controls, lone surrogates, line and paragraph separators.
CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
# What reorders the line around it, so that a reviewer reads another text (CVE-2021-42574).
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

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
        yield "must not hold control characters"
    if any(unicodedata.bidirectional(character) in BIDI_CONTROLS for character in value):
        yield "must not hold bidirectional control characters"


def choice_rules(field: str, value: str) -> Rules:
    """Yield the rule that an answer breaks which is none of the choices, as in a replay."""
    if value not in CHOICES[field]:
        yield f"must be one of {', '.join(CHOICES[field])}"


def slug_rules(slug: str) -> Rules:
    """Yield the rules that a slug breaks: a PEP 508 name whose package can be imported."""
    package = slug.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        yield "must be lower-case letters, digits and single hyphens, and begin with a letter"
    elif len(slug) > MAX_SLUG_LENGTH:
        yield f"must be at most {MAX_SLUG_LENGTH} characters long"
    elif package in KEYWORDS:
        yield "must not be a Python keyword"
    elif package in STANDARD_LIBRARY:
        yield "must not be the name of a standard library module"
    elif package in TAKEN:
        yield "must not be a name that the service imports or reserves"
    elif slug in DEVICES:
        yield "must not be the name of a Windows device"


def email_rules(email: str) -> Rules:
    """Yield the rules that an e-mail address breaks."""
    if not re.fullmatch(r"""[^\s@<>()\[\],;:\\"]+@[^\s@<>()\[\],;:\\"]+""", email):
        yield "must be an e-mail address, like name@example.com"


def organization_rules(organization: str) -> Rules:
    """Yield the rules of GitHub that the name of an organization breaks."""
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", organization):
        yield "must be letters, digits and single hyphens, not at either end"
    elif len(organization) > MAX_ORGANIZATION_LENGTH:
        yield f"must be at most {MAX_ORGANIZATION_LENGTH} characters long"


def is_marker(text: str) -> bool:
    """Tell whether text is an environment marker of PEP 508.

    Its grammar is that of Python's comparisons, but for two operators.
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
    """Give a direct reference in the form of PEP 508: "name[extra] @ url ; marker".

    Takes that form, and pip's older "url#egg=name[extra]".

    Raises:
        ValueError: it is none; carries the rule.
    """
    match = NAMED.fullmatch(reference) or BARE.fullmatch(reference)
    if not match:
        raise ValueError(
            "must be a direct reference, like name @ git+https://github.com/org/repo.git@ref"
        )
    url, marker = match["url"], match["marker"]
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("must be a URL: git+ssh://git@host/path, not git@host:path") from None
    name = match.groupdict().get("name") or parse_qs(parts.fragment).get("egg", [""])[0]
    repository, at, revision = parts.path.partition("@")
    if not re.fullmatch(rf"{NAME}\s*(?:{EXTRAS})?", name):
        raise ValueError("must name the distribution: name @ url, or url#egg=name")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)} as its URL's scheme")
    if parts.password or (parts.username and parts.scheme != "git+ssh"):
        raise ValueError("must not hold a credential: netrc and git's configuration are for those")
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
        name = re.match(NAME, direct_reference(reference))[0]
    except ValueError as error:
        yield str(error)
        return
    normalized = re.sub(r"[-_.]+", "-", name).lower()
    if normalized in {slug, "falcon", "gunicorn", "pip"}:
        yield f"must not be {normalized}, which the service has already"


def refusal(answers: Mapping[str, str]) -> str:
    """Give the line that refuses the first bad answer, "" when all are good.

    Args:
        answers: the answers by the name of their prompt.
    """
    rules = {
        "project_slug": slug_rules,
        "author_email": email_rules,
        "github_organization": organization_rules,
        "github_dependency": lambda value: dependency_rules(value, answers["project_slug"]),
    }
    rules |= {field: partial(choice_rules, field) for field in CHOICES}
    for field, value in answers.items():
        if field.startswith("_"):
            continue
        if field == "github_dependency" and value == "":
            continue
        for check in (text_rules, rules.get(field)):
            for rule in check(value) if check else ():
                shown = json.dumps(value, ensure_ascii=False)
                return f"{field} {shown if shown.isprintable() else json.dumps(value)} {rule}"
    return ""


if __name__ == "__main__":
    sys.exit(refusal(json.loads(r"""{{ cookiecutter | tojson }}""")) or 0)
