{%- set alpine = cookiecutter.base_image.startswith("alpine") -%}
{%- set musl = "alpine" in cookiecutter.base_image -%}
"""Write the bill of materials of the image: the service and its packages, in CycloneDX's JSON.

Usage: python docker/sbom.py IMAGE FILE

It names what {{ "apk" if musl else "dpkg" }} and pip have installed{{ "" if alpine else ", and the base image's own Python" }}. A package without files,
which only names others, is left out. The same image gives the same bytes.
"""

import csv
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email import message_from_string
from pathlib import Path
from posixpath import dirname, normpath
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

# The files that tell of packages.
READ = re.compile(
    r"usr/lib/os-release|.*\.dist-info/(METADATA|RECORD|direct_url\.json)"
{%- if musl %}
    r"|(usr/)?lib/apk/db/installed"
{%- else %}
    r"|var/lib/dpkg/(status|info/.*\.list)|usr/share/doc/[^/]*/copyright"
{%- endif %}
{%- if not alpine %}
    r"|usr/local/include/.*/patchlevel\.h"
{%- endif %}
)

# What names it, its licenses as it calls them, and the paths where it may have files.
Package = tuple[PackageURL, Iterable[str], Iterable[str]]


def docker(*arguments: str) -> str:
    """Run docker and give what it printed, or end with its status."""
    result = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
    if result.returncode:
        sys.exit(result.returncode)
    return result.stdout.strip()


def read(image: str) -> tuple[set[str], dict[str, str]]:
    """Give the paths of an image's files, and the texts of those that tell of packages."""
    container = docker("create", "--pull=never", image)
    with TemporaryDirectory() as folder:
        try:
            docker("export", f"--output={folder}/image.tar", container)
        finally:
            docker("rm", "--volumes", container)
        with tarfile.open(f"{folder}/image.tar") as archive:
            files = {entry.name: entry for entry in archive if not entry.isdir()}
            wanted = [name for name, file in files.items() if file.isreg() and READ.fullmatch(name)]
            return set(files), {name: archive.extractfile(name).read().decode() for name in wanted}


def system_packages(texts: Mapping[str, str]) -> Iterator[Package]:
    """Yield what {{ "apk" if musl else "dpkg" }} has installed."""
    version = re.search(r'^VERSION_ID="?([^"\n]*)', texts["usr/lib/os-release"], re.M)[1]
{%- if musl %}
    database = texts.get("lib/apk/db/installed") or texts["usr/lib/apk/db/installed"]
    for record in database.strip().split("\n\n"):
        fields, paths = {}, []
        for key, value in re.findall(r"^(\w):(.*)$", record, re.M):
            fields[key] = value
            if key == "R":
                paths.append(f"{fields['F']}/{value}".lstrip("/"))
        about = {"arch": fields["A"], "distro": f"alpine-{version}", "upstream": fields.get("o")}
        purl = PackageURL("apk", "alpine", fields["P"], fields["V"], about)
        yield purl, [fields["L"]], paths
{%- else %}
    for record in texts["var/lib/dpkg/status"].strip().split("\n\n"):
        fields = message_from_string(record)
        if fields["Status"].endswith(" installed"):
            name, arch = fields["Package"], fields["Architecture"]
            source = re.sub(r" \((.*)\)", r"@\1", fields.get("Source", name))
            about = {"arch": arch, "distro": f"debian-{version}", "upstream": source}
            purl = PackageURL("deb", "debian", name, fields["Version"], about)
            terms = texts.get(f"usr/share/doc/{name}/copyright", "")
            info = f"var/lib/dpkg/info/{name}"
            lines = (texts.get(f"{info}.list") or texts[f"{info}:{arch}.list"]).splitlines()
            # A list may say /lib where that is a link to /usr/lib.
            paths = [f"{top}{line}".lstrip("/") for line in lines for top in ("", "/usr")]
            yield purl, re.findall(r"^License: *(\S.*)$", terms, re.M), paths
{%- endif %}


def python_packages(texts: Mapping[str, str]) -> Iterator[Package]:
    """Yield what pip has installed."""
    for folder in [dirname(path) for path in texts if path.endswith("/METADATA")]:
        fields = message_from_string(texts[f"{folder}/METADATA"])
        origin = json.loads(texts.get(f"{folder}/direct_url.json", "{}"))
        about = {"download_url": origin.get("url")}
        if vcs := origin.get("vcs_info"):
            about = {"vcs_url": f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"}
        purl = PackageURL("pypi", None, fields["Name"], fields["Version"], about)
        known = re.findall(r"^Classifier: License ::.* :: (.*)$", str(fields), re.M)
        licenses = fields.get_all("License-Expression") or known or fields.get_all("License", [])
        rows = csv.reader(texts.get(f"{folder}/RECORD", "").splitlines())
        yield purl, licenses, [normpath(f"{dirname(folder)}/{row[0]}") for row in rows]


{% if not alpine -%}
def interpreter(files: Iterable[str], texts: Mapping[str, str]) -> Iterator[Package]:
    """Yield the CPython that the base image has from source, which no package lists."""
    installed = re.compile(
        r"usr/local/(bin/(2to3|idle|pydoc|python)|include/python3|share/man/man1/python|lib/("
        r"libpython3|pkgconfig/python|python3\d*\.zip|python3[^/]*/(?!site-packages/(?!README))))"
    )
    for version in re.findall(r'^#define PY_VERSION\s+"(.*)"', "\n".join(texts.values()), re.M):
        purl = PackageURL("generic", None, "python", version)
        yield purl, ["PSF-2.0"], [path for path in files if installed.match(path)]


{% endif -%}
def component(package: Package, files: Iterable[str]) -> Component | None:
    """Give the component of a package, or None where the image has no file of it."""
    purl, names, paths = package[0], set(package[1]), set(package[2])
    # What the build compiles in the environment belongs to the package of the module.
    bytecode = re.compile(r"^(opt/venv/.*)__pycache__/([^/]*)\.cpython-[^/]*\.pyc$")
    count = sum(path in paths or bytecode.sub(r"\1\2.py", path) in paths for path in files)
    if not count:
        return None
    # A component has one expression, or any number of names.
    make = LicenseFactory().make_from_string if len(names) == 1 else LicenseFactory().make_with_name
    return Component(
        bom_ref=str(purl),
        name=purl.name,
        version=purl.version,
        purl=purl,
        licenses=[make(name.partition("\n")[0]) for name in names],
        properties=[Property(name="image:files", value=str(count))],
    )


def main(image: str, out: Path) -> None:
    """Write the bill of materials of an image to a file."""
    facts = json.loads(docker("image", "inspect", image))[0]
    label = {key.rpartition(".")[2]: value for key, value in facts["Config"]["Labels"].items()}
    files, texts = read(image)
    purl = PackageURL("generic", None, label["title"], label["version"])
    app = [path for path in files if path.startswith("app/")]
    service = component((purl, [label["licenses"]], app), files)
    service.type = ComponentType.APPLICATION
    packages = [*system_packages(texts), *python_packages(texts){{ "" if alpine else ", *interpreter(files, texts)" }}]
    components = [made for package in packages if (made := component(package, files))]
    about = BomMetaData(component=service, timestamp=datetime.fromisoformat(facts["Created"]))
    serial = uuid5(NAMESPACE_OID, facts["Id"])
    bom = Bom(serial_number=serial, metadata=about, components=components)
    bom.register_dependency(service, components)
    out.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
