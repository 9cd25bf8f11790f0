"""Made-up answers to the prompts of cookiecutter.json: good, hostile, and nearly good."""

import keyword
import sys
from dataclasses import dataclass

from hypothesis import strategies as st
from support import ARTICLE_DEPENDENCY, PROMPTS

from template_extensions import (
    IMPORTED,
    MAX_SLUG_LENGTH,
    TAKEN,
    dependency_rules,
    slug_rules,
    text_rules,
)

# What has a meaning in a language that an answer is written into, in a shell or in a terminal.
FRAGMENTS = [
    *"\"'`\\{}[]()<>%$#:;&|*_~!?@=+-,./^ ",
    *("\n", "\r", "\t", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff"),
    *("\u200b", "\u200f", "\u202e", "\u2066", "\u2069", "\ufeff", "\ufffe", "\U000e0041"),
    *("e\u0301", "\u0301", "ﷺ", "خدمة", "שירות", "日本語", "ß", "İ", "ﬁ", "𝕏", "👩\u200d🚀", "🇩🇪"),
    *("{{", "}}", "{%", "%}", "{#", "#}", "{{ 7 * 7 }}", "{% raw %}", "{% endraw %}"),
    *("{{ cookiecutter }}", "${{ secrets.GITHUB_TOKEN }}", "$(id)", "${HOME}", "$$", "$1", "`id`"),
    *("$HOME", "\\$HOME", "&&", "||", ">>", "<<EOF", "'''", '"""', "\\n", "\\u0041", "\\x41"),
    *("\\", "\\\\", '\\"', "%s", "%(x)s", "%%", "{0}", "!!python/object", "&anchor", "*alias"),
    *("---", "...", "- ", "* ", "+ ", "1. ", "1) ", "> ", "# ", "## ", " #", "===", "~~~", "```"),
    *("key: value", "[table]", "[[array]]", "key = 1", "define x", "endef", "$(shell id)", "\t@"),
    *("ifeq (", "#!/bin/sh", "# syntax=x", "ARG x", "-rf", "--help", "-", "--", "<b>", "</p>"),
    *("<!--", "-->", "&amp;", "&#35;", "&lt;", "[x](y)", "![x](y)", "[^1]", "**b**", "__init__"),
    *("snake_case", "_it_", "~~gone~~", "<http://x.y>", "http://x.y", "www.x.y", "| a | b |"),
    *("CON", "nul", "aux.txt", "C:\\x", "..", "../x", "/etc/passwd", "~", "a/b", "con "),
    *("True", "null", "yes", "1e3", "0x10", "2026-01-01", "NaN", "class", "import"),
    *("@ git+https://", "#egg=", "; os_name == 'posix'", "[x]", "%40", "%2F", "@main", "user:pw@"),
    "x" * 250,
]
# Names that a project or one of its tools already uses.
NAMES = sorted(
    {
        *("app", "asgi", "conftest", "data", "docker", "init", "main", "mypy", "pip", "pre-commit"),
        *("serving", "settings", "setup", "setuptools", "site", "src", "static", "test"),
        *("test-app", "test-settings", "tests", "tests-app", "uv", "venv", "wsgi", "xn--x", "yaml"),
        *IMPORTED,
        *TAKEN,
        *keyword.kwlist,
        *keyword.softkwlist,
        *sys.stdlib_module_names,
    }
)

hostile_text = st.one_of(
    st.just(""),
    st.sampled_from(FRAGMENTS),
    st.lists(
        st.sampled_from(FRAGMENTS) | st.characters(exclude_categories=()), min_size=1, max_size=12
    ).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=400),
    st.integers(1, 100_000).map("x".__mul__),
)


def is_good_text(text: str) -> bool:
    """Return whether text breaks none of the rules for any text."""
    return not list(text_rules(text))


good_characters = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp"],
    exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
)
good_text = (
    st.lists(st.sampled_from([*filter(is_good_text, FRAGMENTS)]) | good_characters, max_size=12)
    .map(lambda parts: "".join(parts).strip()[:250].strip())
    .filter(is_good_text)
)
words = st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True)
slugs = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,12}(-[a-z0-9]{1,12}){0,2}", fullmatch=True),
    st.sampled_from([name.lower().replace("_", "-") for name in NAMES]),
    st.just("x" * MAX_SLUG_LENGTH),
)
mail_words = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs", "Z"],
        exclude_characters='@<>()[],;:\\"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069',
    ),
    min_size=1,
    max_size=30,
)
repositories = st.tuples(
    st.sampled_from(["github.com", "gitlab.com", "gitlab.example.com", "git.example.com:8443"]),
    st.lists(
        st.from_regex(
            r"[A-Za-z0-9]{1,12}(([._]|__|-{1,3})[A-Za-z0-9]{1,12}){0,2}", fullmatch=True
        ).filter(lambda name: not name.endswith(".git")),
        min_size=2,
        max_size=4,
    ),
).map(lambda it: f"https://{it[0]}/" + "/".join(it[1][:2] if it[0] == "github.com" else it[1]))


@st.composite
def direct_references(draw: st.DrawFn) -> str:
    """Make up a direct reference, in the form of PEP 508 or of pip."""
    name = draw(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True))
    name += draw(st.sampled_from(["", "", "[x]", "[x,y-z]", "[ x , y ]", "[]"]))
    scheme = draw(st.sampled_from(["git+https://", "git+ssh://git@", "git+http://", "https://"]))
    host = draw(
        st.sampled_from(["github.com", "github.com:8443", "git.example.com", "127.0.0.1", "[::1]"])
    )
    path = "/".join(draw(st.lists(words, min_size=1, max_size=4)))
    end = draw(st.sampled_from(["", ".git", "%20x", "-1.0.tar.gz", "/~x", "'", "!$&()*+,;="]))
    revision = draw(st.sampled_from(["", "", "@main", "@v1.0", "@feature/x", f"@{'a' * 40}"]))
    fragment = draw(st.sampled_from(["", "", "subdirectory=lib", "sha256=" + "0" * 64]))
    marker = draw(
        st.sampled_from(
            [
                "",
                "",
                "os_name == 'posix'",
                'python_version > "3.11" and (os_name != "nt" or "x" in platform_version)',
                "python_full_version ~= '3.11' and sys_platform not in 'win32 cygwin'",
                "'linux' == sys_platform",
            ]
        )
    )
    url = f"{scheme}{host}/{path}{end}{revision}"
    if draw(st.booleans()):
        fragment = "&".join(filter(None, [f"egg={name.replace(' ', '')}", fragment]))
        separator = draw(st.sampled_from([" ; ", "; "]))
        return f"{url}#{fragment}" + (separator + marker if marker else "")
    at = draw(st.sampled_from([" @ ", "@", " @", "@  "]))
    return f"{name}{at}{url}" + (f"#{fragment}" if fragment else "") + (marker and f" ; {marker}")


# A prompt that is not listed here accepts any text.
GOOD = {
    "project_slug": slugs.filter(lambda slug: not list(slug_rules(slug))),
    "author_email": st.tuples(mail_words, mail_words).map("@".join).filter(is_good_text),
    "repository_url": repositories.filter(is_good_text),
    "github_dependency": st.one_of(
        st.just(""),
        st.just(ARTICLE_DEPENDENCY),
        direct_references()
        .filter(is_good_text)
        .filter(lambda text: not list(dependency_rules(text, "x"))),
    ),
}
NEARLY_GOOD = {
    "project_slug": slugs,
    "author_email": st.tuples(hostile_text, words).map("@".join),
    "repository_url": st.tuples(repositories, hostile_text).map("".join),
    "github_dependency": direct_references(),
}


@st.composite
def mutants(draw: st.DrawFn, good: st.SearchStrategy[str]) -> str:
    """Insert something into a good answer, or remove something from it."""
    text = draw(good)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 3)))
    return text[:start] + draw(st.just("") | st.sampled_from(FRAGMENTS)) + text[end:]


@dataclass(frozen=True)
class Answers:
    """Answers as they are typed, by the name of their prompt, except those left at their default.

    `good` tells whether none of them may be refused.
    """

    given: dict[str, str]
    good: bool


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Make up answers to all prompts: all good, or one or all of them bad."""
    texts = [name for name, default in PROMPTS.items() if isinstance(default, str)]
    bad = draw(st.sampled_from([*[[]] * 2 * len(texts), *([name] for name in texts), texts]))
    derived = [name for name in texts if "{{" in PROMPTS[name]]
    left = draw(st.sampled_from([*[[]] * 5, derived]))
    given: dict[str, str] = {}
    for name, default in PROMPTS.items():
        if name in left:
            continue
        strategy = GOOD.get(name, good_text)
        if name in bad:
            near = NEARLY_GOOD.get(name, hostile_text)
            given[name] = draw(st.one_of(near, mutants(strategy), hostile_text))
        elif name in texts:
            given[name] = draw(strategy)
        else:
            given[name] = draw(st.sampled_from(default))
    good = not bad and not left
    if good and given["github_dependency"]:
        # it may have the name of the service by chance
        rules = dependency_rules(given["github_dependency"], given["project_slug"])
        good = not list(rules)
    return Answers(given, good)
