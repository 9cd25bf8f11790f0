"""A build gets everything from a network of its own, through a proxy that reads TLS."""

import os
import re
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import assert_nothing_leaks, docker, planned, running, save
from pages import RECIPES, follow
from servers import InterceptingProxy, PrivateGit, PrivateIndex, serving

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

IMAGE = "registry.acme.example/shop/falcon-service:latest"


def test_a_build_asks_its_own_network_alone(
    bake: BakeFunction,
    private_index: PrivateIndex,
    private_git: PrivateGit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private_git.add("outer")
    baked = bake(github_dependency="outer @ git+https://github.com/acme/outer.git")
    mirrors = docker("run", "--rm", "alpine:latest", "cat", "/etc/apk/repositories").split()
    addresses = {
        "https://pypi.acme.example": f"http://{private_index.host}",
        "https://git.acme.example/acme": f"http://127.0.0.1:{private_git.server_port}",
        "https://alpine.acme.example/latest-stable/main": mirrors[0],
        # a mirror may have all of its packages in main
        "https://alpine.acme.example/latest-stable/community": mirrors[-1],
    }
    netrc = tmp_path / "netrc"
    netrc.write_text(
        f"machine pypi.acme.example login {private_index.user} password {private_index.password}\n"
        f"machine git.acme.example login {private_git.user} password {private_git.password}\n"
    )
    authority = tmp_path / "authority.pem"
    page = (RECIPES / "private-network.md").read_text("utf-8")
    # what may lead to a network that this machine is in
    for name in [*os.environ]:
        if re.match("PIP_|UV_|SSL_|(HTTPS?|NO)_PROXY|.*_CA_BUNDLE", name, re.IGNORECASE):
            monkeypatch.delenv(name)
    base = "--set=*.contexts.registry.acme.example/alpine=docker-image://alpine:latest"
    with serving(InterceptingProxy(authority, addresses)) as proxy:
        for here, there in {
            "$(HOME)/.netrc": str(netrc),
            "/etc/ssl/certs/ca-certificates.crt": str(authority),
            "http://proxy.acme.example:3128": proxy.address,
            # only the proxy knows where these servers are
            "localhost,127.0.0.1,.acme.example": "localhost,127.0.0.1",
        }.items():
            assert page.count(here) == 1
            page = page.replace(here, there)
        lines = follow(
            page,
            baked,
            DOCKER_BUILD_FLAGS=f"{os.environ['DOCKER_BUILD_FLAGS']} --no-cache {base}",
            # git on this machine knows its own bundle alone
            GIT_SSL_CAINFO=str(authority),
        )
    assert {f"{name}.acme.example" for name in ("alpine", "git", "pypi")} <= proxy.asked
    assert not proxy.refused
    plan = planned(baked, "docker", "default")
    assert plan["args"]["NO_PROXY"] == "localhost,127.0.0.1"
    assert "acme.example" not in baked.read("requirements.txt")
    assert_nothing_leaks(save(IMAGE, tmp_path), IMAGE)
    assert f"newName: {IMAGE.partition(':')[0]}\n" in baked.read("deploy/kustomization.yaml")
    with running(IMAGE) as container:
        container.wait_until("healthy")
        assert container.ask("/") == "200 hi"
        container.python("import outer")
    index = (RECIPES / "README.md").read_text("utf-8")
    assert f"(private-network.md) | none | {lines} |" in index
    docker("image", "rm", IMAGE)
