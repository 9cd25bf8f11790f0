"""Servers on loopback in the place of a company's own: a package index, a git mirror."""

import base64
import hashlib
import http.server
import io
import json
import os
import re
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trustme
from support import free_port

Server = TypeVar("Server", bound=http.server.HTTPServer)

# Of an image for any number of platforms.
KIND = "application/vnd.oci.image.index.v1+json"


def opener() -> urllib.request.OpenerDirector:
    """Return what opens URLs by the proxies and certificates that are set now."""
    context = ssl.create_default_context()
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


class PrivateIndex(http.server.ThreadingHTTPServer):
    """A package index that requires a password, and serves what this machine's index has.

    It sends the same cache headers as pypi.org, and records in `served` the name of every file
    that was fetched.
    """

    user, password = "canary-user", "canary-password"

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), PrivateIndexHandler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.address = f"http://{self.host}/simple/"
        self.upstream = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple/").rstrip("/")
        self.opener = opener()
        self.files: dict[str, str] = {}
        self.served: list[str] = []

    def address_with(self, password: str) -> str:
        """Return the address with the user and a password in it."""
        return f"http://{self.user}:{password}@{self.host}/simple/"


class Handler(http.server.BaseHTTPRequestHandler):
    """A handler that logs nothing."""

    def answer(self, status: int, data: bytes, *headers: tuple[str, str]) -> None:
        """Answer with a status, headers and a body."""
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


class PrivateIndexHandler(Handler):
    """Answers for PrivateIndex."""

    server: PrivateIndex

    def do_GET(self) -> None:  # noqa: D102
        index = self.server
        expected = base64.b64encode(f"{index.user}:{index.password}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {expected}":
            self.answer(401, b"", ("WWW-Authenticate", 'Basic realm="index"'))
        elif self.path.startswith("/simple/"):
            url = index.upstream + self.path.removeprefix("/simple")
            page = re.sub(r'href="([^"#]+)', self.own_link(url), self.fetch(url).decode())
            self.answer(200, page.encode(), ("Content-Type", "text/html"))
        else:
            name = self.path.removeprefix("/files/")
            index.served.append(name)
            wheel = name.removesuffix(".metadata")
            data = self.fetch(index.files[wheel] + name.removeprefix(wheel))
            self.answer(200, data, ("Cache-Control", "max-age=365000000, immutable, public"))

    do_HEAD = do_GET  # noqa: N815

    def own_link(self, page: str) -> Callable[[re.Match[str]], str]:
        """Return the function that turns a file's link on a page into one to this server."""

        def replace(match: re.Match[str]) -> str:
            url = urllib.parse.urljoin(page, match[1])
            name = urllib.parse.unquote(url.rpartition("/")[2])
            self.server.files[name] = url
            return f'href="/files/{name}'

        return replace

    def fetch(self, url: str) -> bytes:
        """Return what this machine's index answers."""
        request = urllib.request.Request(url, headers={"Accept": "text/html, */*"})  # noqa: S310
        with self.server.opener.open(request) as response:
            data: bytes = response.read()
            return data


class PrivateGit(http.server.ThreadingHTTPServer):
    """Repositories over HTTP that require a password."""

    user, password = "canary-user", "canary-password"

    def __init__(self, root: Path) -> None:
        """Listen on a free port, and keep the repositories in a folder."""
        super().__init__(("127.0.0.1", 0), PrivateGitHandler)
        self.root = root
        self.netrc = root / "netrc"
        self.netrc.write_text(f"machine 127.0.0.1\nlogin {self.user} password {self.password}\n")

    def add(self, name: str, *requires: str) -> str:
        """Add the repository of a distribution, and return a direct reference to it."""
        source = self.root / name
        source.mkdir()
        (source / f"{name}.py").touch()
        (source / "setup.py").write_text(
            "from setuptools import setup\n"
            f"setup(name={name!r}, version='1.0', py_modules=[{name!r}],\n"
            f"      install_requires={list(requires)})\n"
        )
        bare = self.root / f"{name}.git"
        for command in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message=first"),
            ("clone", "--quiet", "--bare", ".", str(bare)),
            ("--git-dir", str(bare), "update-server-info"),
        ):
            subprocess.run(["git", *command], cwd=source, check=True)
        return f"{name} @ git+http://127.0.0.1:{self.server_port}/{name}.git"


class PrivateGitHandler(Handler):
    """Answers for PrivateGit, by the protocol that takes nothing but files."""

    server: PrivateGit

    def do_GET(self) -> None:  # noqa: D102
        git = self.server
        expected = base64.b64encode(f"{git.user}:{git.password}".encode()).decode()
        file = git.root / self.path.partition("?")[0].lstrip("/")
        if self.headers["Authorization"] != f"Basic {expected}":
            self.answer(401, b"", ("WWW-Authenticate", 'Basic realm="git"'))
        elif file.is_file():
            self.answer(200, file.read_bytes())
        else:
            self.answer(404, b"")


class InterceptingProxy(http.server.ThreadingHTTPServer):
    """A proxy that knows some addresses alone, and reads what is sent over TLS.

    Its `authority` is written to a file, for its clients to trust. It records in `asked` the names
    of the hosts that it was asked for, and in `refused` what it does not know of them.
    """

    def __init__(self, authority: Path, addresses: dict[str, str]) -> None:
        """Listen on a free port; `addresses` are those of https servers, and where they are."""
        super().__init__(("127.0.0.1", 0), InterceptingProxyHandler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.addresses = addresses
        self.opener = opener()
        self.asked: set[str] = set()
        self.refused: set[str] = set()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer = trustme.CA()
        issuer.cert_pem.write_to_path(authority)
        names = {urllib.parse.urlsplit(address).hostname or "" for address in addresses}
        issuer.issue_cert(*names).configure_cert(self.context)


class InterceptingProxyHandler(Handler):
    """Answers for InterceptingProxy."""

    server: InterceptingProxy
    host = ""

    def do_CONNECT(self) -> None:
        """Answer as the host that is asked for would, in the same connection."""
        self.host = self.path.rpartition(":")[0]
        self.server.asked.add(self.host)
        self.send_response(200)
        self.end_headers()
        try:
            self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        except OSError:
            return  # a client that does not trust it
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.handle_one_request()

    def do_GET(self) -> None:
        """Answer what is at the address that stands behind."""
        url = f"https://{self.host}{self.path}"
        known = [it for it in self.server.addresses if url.startswith(it)]
        if not known:
            self.server.refused.add(url)
            self.answer(403, b"")
            return
        request = urllib.request.Request(  # noqa: S310
            self.server.addresses[known[0]] + url.removeprefix(known[0]), method=self.command
        )
        for name in ("Accept", "Authorization"):
            if value := self.headers[name]:
                request.add_header(name, value)
        try:
            with self.server.opener.open(request) as response:
                status, headers, data = response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            status, headers, data = error.code, error.headers, error.read()
        kept = ("Content-Type", "Cache-Control", "WWW-Authenticate")
        self.answer(status, data, *((name, headers[name]) for name in kept if headers[name]))

    do_HEAD = do_GET  # noqa: N815


class FileIndex(http.server.ThreadingHTTPServer):
    """A package index of files that a test makes up."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), FileIndexHandler)
        self.address = f"http://127.0.0.1:{self.server_port}/simple/"
        self.files: dict[str, bytes] = {}

    def add(self, name: str) -> str:
        """Offer an empty wheel or sdist of this name, and return its SHA-256 hash."""
        project, version = name.removesuffix(".tar.gz").split("-")[:2]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.comment = name.encode()  # no two have the same hash
            folder = f"{project}-{version}.dist-info"
            metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
            archive.writestr(f"{folder}/METADATA", metadata)
            tag = "-".join(name.removesuffix(".whl").split("-")[2:])
            wheel = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
            archive.writestr(f"{folder}/WHEEL", wheel)
            files = ("METADATA", "WHEEL", "RECORD")
            archive.writestr(f"{folder}/RECORD", "".join(f"{folder}/{it},,\n" for it in files))
        self.files[name] = buffer.getvalue()
        return hashlib.sha256(self.files[name]).hexdigest()


class FileIndexHandler(Handler):
    """Answers for FileIndex."""

    server: FileIndex

    def do_GET(self) -> None:  # noqa: D102
        name = self.path.rstrip("/").rpartition("/")[2]
        files = self.server.files
        if name in files:
            self.answer(200, files[name])
            return
        links = [
            f'<a href="/files/{file}#sha256={hashlib.sha256(data).hexdigest()}">{file}</a>'
            for file, data in files.items()
            if file.startswith(f"{name}-")
        ]
        self.answer(200 if links else 404, "".join(links).encode(), ("Content-Type", "text/html"))

    do_HEAD = do_GET  # noqa: N815


class Registry(http.server.ThreadingHTTPServer):
    """A registry that has the manifest of one image, under any name."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), RegistryHandler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.manifest = b""
        self.blobs: dict[str, bytes] = {}

    def publish(self, name: str) -> str:
        """Publish an index that is unlike those of other names, and return its digest."""
        index = {"schemaVersion": 2, "mediaType": KIND, "manifests": [], "annotations": {"a": name}}
        self.manifest = json.dumps(index).encode()
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def publish_image(self, archive: Path) -> None:
        """Publish an image that `docker save` has written."""
        with tarfile.open(archive) as tar:
            files = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
            data = {name: file.read() for name, file in files.items() if file}
        self.blobs = {f"sha256:{name.rpartition('/')[2]}": data[name] for name in data}
        [entry] = json.loads(data["index.json"])["manifests"]
        self.manifest = self.blobs[entry["digest"]]


class RegistryHandler(Handler):
    """Answers for Registry."""

    server: Registry

    def handle(self) -> None:
        """Answer so that an engine, which tries TLS first, sees that this is plain HTTP."""
        if self.rfile.peek(1)[:1] == b"\x16":  # type: ignore[attr-defined]  # it is buffered
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            super().handle()

    def do_GET(self) -> None:  # noqa: D102
        data = self.server.blobs.get(self.path.rpartition("/")[2], self.server.manifest)
        is_manifest = "/manifests/" in self.path
        kind = json.loads(data)["mediaType"] if is_manifest else "application/octet-stream"
        self.answer(200, data, ("Content-Type", kind))

    do_HEAD = do_GET  # noqa: N815


class Osv(http.server.ThreadingHTTPServer):
    """What osv.dev answers about packages, of which it knows the vulnerabilities that a test sets.

    It records in `asked` the name of every package that it was asked about.
    """

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), OsvHandler)
        self.known: dict[str, dict[str, Any]] = {}
        self.asked: set[str] = set()
        self.environment = {
            "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
            "PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{self.server_port}/v1/query",
        }

    def know(self, package: str, name: str, *aliases: str) -> None:
        """Know of a vulnerability of every version of a package, by its names."""
        affected = [{"package": {"name": package, "ecosystem": "PyPI"}}]
        vulnerability = {"id": name, "aliases": aliases, "affected": affected}
        self.known[package] = {"vulns": [vulnerability]}


class OsvHandler(Handler):
    """Answers for Osv."""

    server: Osv

    def do_POST(self) -> None:  # noqa: D102
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = question["package"]["name"]
        self.server.asked.add(package)
        self.answer(200, json.dumps(self.server.known.get(package, {})).encode())


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let a server answer while the context lasts."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def serve_git(root: Path, *requires: str) -> Iterator[Path]:
    """Serve a repository while the context lasts, and yield a git configuration that leads to it.

    It takes the place of the article's and has the same names. It requires Markdown, which the
    article's imports on every Python but declares only for those before 3.10, and the other
    distributions that are named.
    """
    source = root / "source"
    package = source / "markdown_plain_text"
    package.mkdir(parents=True)
    names = ["Markdown", *requires]
    imports = "".join(f"import {name.lower()}\n" for name in names)
    (package / "__init__.py").write_text(imports)
    (source / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='Plain-Text-Markdown-Extention', version='1.0',\n"
        f"      packages=['markdown_plain_text'], install_requires={names})\n"
    )
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=first"),
        ("clone", "--quiet", "--bare", ".", "../python-markdown-plain-text.git"),
    ):
        subprocess.run(["git", *command], cwd=source, check=True)
    port = free_port()
    listen = ("--listen=127.0.0.1", f"--port={port}", "--reuseaddr")
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={root}", *listen, str(root)]
    )
    config = root / "config"
    config.write_text(
        f'[url "git://127.0.0.1:{port}/"]\n'
        "\tinsteadOf = https://github.com/kostyachum/\n"
        "\tinsteadOf = ssh://git@github.com/kostyachum/\n"
        "[user]\n\tname = canary-git\n"
    )
    probe = ["git", "ls-remote", f"git://127.0.0.1:{port}/python-markdown-plain-text.git"]
    for _ in range(50):
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.1)
    try:
        yield config
    finally:
        daemon.terminate()
        daemon.wait()
