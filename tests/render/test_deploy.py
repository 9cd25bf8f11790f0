"""The manifests in deploy/ are what Kubernetes takes, and fit the rest of the service."""

import json
import re
import sys
from typing import Any

import pytest
import yaml
from conftest import BakeFunction
from support import CHOICES, Bake, assert_is_manifest

from template_extensions import MAX_LENGTH, MAX_SLUG_LENGTH

# What a project's names can be, and what the manifests could depend on.
CASES: list[dict[str, str]] = [
    *({"interface": interface} for interface in CHOICES["interface"]),
    *({"base_image": base} for base in CHOICES["base_image"]),
    {
        "project_slug": "x" * MAX_SLUG_LENGTH,
        "repository_url": "https://git.example.com/".ljust(MAX_LENGTH - 2, "X") + "/0",
    },
    {"project_slug": "x", "repository_url": "https://gitlab.com/0/A_b/c.d"},
    {"repository_url": "https://gitlab.example.com/Group/Name"},
    {"repository_url": "https://git.example.com:8443/Owner/Name"},
]
# What Pod Security "restricted" demands, and what is unsafe unless it is said.
POD = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

Manifest = dict[str, Any]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda answers: "-".join(map(str, answers.values()))
)
def baked(request: pytest.FixtureRequest, bake_session: BakeFunction) -> Bake:
    return bake_session(**request.param)


def load(baked: Bake, name: str) -> Manifest:
    """Return the manifest in a file."""
    manifest: Manifest = yaml.safe_load(baked.read(f"deploy/{name}"))
    return manifest


def manifests(baked: Bake) -> dict[str, Manifest]:
    """Return the manifests that are applied, by their kinds, with what kustomize adds."""
    kustomization = load(baked, "kustomization.yaml")
    made = [load(baked, name) for name in kustomization["resources"]]
    for generator in kustomization["configMapGenerator"]:
        data = dict(literal.split("=", 1) for literal in generator["literals"])
        metadata = {"name": generator["name"]}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return {manifest["kind"]: manifest for manifest in made}


def test_manifests_fit_the_schema_of_the_api(baked: Bake) -> None:
    made = manifests(baked)
    assert set(made) == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    }
    for manifest in made.values():
        # strict: a member that the API does not know is refused
        assert_is_manifest(manifest)
        # they are for any namespace
        assert set(manifest["metadata"]) == {"name"}


def test_manifests_name_each_other(baked: Bake) -> None:
    slug = baked.answers["project_slug"]
    made, kustomization = manifests(baked), load(baked, "kustomization.yaml")
    files = {path.name for path in (baked.path / "deploy").glob("*.yaml")}
    assert {*kustomization["resources"], "kustomization.yaml"} == files
    assert {manifest["metadata"]["name"] for manifest in made.values()} == {slug}
    deployment = made["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert made["Service"]["spec"]["selector"] == labels
    for selector in (
        deployment["selector"],
        made["PodDisruptionBudget"]["spec"]["selector"],
        made["NetworkPolicy"]["spec"]["podSelector"],
    ):
        assert selector == {"matchLabels": labels}
    target = made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {key: made["Deployment"][key] for key in ("apiVersion", "kind")} | {
        "name": slug
    }
    assert "replicas" not in deployment
    [container] = deployment["template"]["spec"]["containers"]
    [image] = kustomization["images"]
    assert container["image"] == image["name"]
    host, path = baked.answers["repository_url"].removeprefix("https://").split("/", 1)
    registry = "ghcr.io" if host == "github.com" else host.replace("gitlab.", "registry.gitlab.")
    assert image["newName"] == f"{registry}/{path.lower()}"
    assert len(image["newName"]) <= 255
    sources = [source for each in container["envFrom"] for source in each.values()]
    assert {source["name"] for source in sources} == {slug}
    ports = {port["name"] for port in container["ports"]}
    [port] = made["Service"]["spec"]["ports"]
    rules = made["NetworkPolicy"]["spec"]["ingress"]
    assert {port["targetPort"]} | {it["port"] for rule in rules for it in rule["ports"]} == ports
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("liveness", "readiness")} <= (
        ports
    )
    volumes = {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}
    assert volumes == {mount["name"] for mount in container["volumeMounts"]}


def test_pod_is_restricted(baked: Bake) -> None:
    pod = manifests(baked)["Deployment"]["spec"]["template"]["spec"]
    assert {name: pod[name] for name in POD} == POD
    [container] = pod["containers"]
    assert container["securityContext"] == CONTAINER
    # the kubelet cannot tell a user by name from root
    assert "\nUSER 65532:65532\n" in baked.read("Dockerfile")


def test_numbers_fit_the_rest_of_the_service(baked: Bake) -> None:
    pod = manifests(baked)["Deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    [service] = yaml.safe_load(baked.read("compose.yaml"))["services"].values()
    assert f"{pod['spec']['terminationGracePeriodSeconds']}s" == service["stop_grace_period"]
    memory = container["resources"]["limits"]["memory"]
    assert memory == container["resources"]["requests"]["memory"]
    assert memory == service["mem_limit"].replace("m", "Mi")
    assert "cpu" not in container["resources"]["limits"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"\nEXPOSE {ports['http']} {ports['metrics']}\n" in baked.read("Dockerfile")
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])


def test_settings_are_those_of_the_service(baked: Bake) -> None:
    code = (
        "import os\n"
        f"from {baked.answers['__package_name']}.settings import Settings\n"
        "Settings.from_environment()\n"
        "unknown = set(os.environ['NAMES'].split()) - set(Settings.__struct_encode_fields__)\n"
        "assert not unknown, unknown\n"
    )
    settings = manifests(baked)["ConfigMap"]["data"]
    result = baked.run(
        sys.executable, "-c", code, PYTHONPATH="src", NAMES=" ".join(settings), **settings
    )
    assert result.returncode == 0, result.stderr


def test_monitoring_asks_for_what_there_is(baked: Bake) -> None:
    slug, package = baked.answers["project_slug"], baked.answers["__package_name"]
    [group] = load(baked, "monitoring/rules.yaml")["spec"]["groups"]
    dashboard = json.loads(baked.read("deploy/monitoring/dashboard.json"))
    expressions = [rule["expr"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for text in expressions for name in re.findall(r"(\w+)\{", text)}
    metrics = baked.read(f"src/{package}/serving/metrics.py")
    for name in (re.sub("_(bucket|count)$", "", name) for name in names):
        # the processes' are prometheus_client's, and the others the kubelet's
        ours = name.startswith("http_") or name.endswith("_build_info")
        assert ours == (re.sub(f"^{package}", "", name) in metrics), name
    monitor = load(baked, "monitoring/podmonitor.yaml")["spec"]
    deployment = manifests(baked)["Deployment"]["spec"]
    assert monitor["selector"] == deployment["selector"]
    [container] = deployment["template"]["spec"]["containers"]
    assert [it["port"] for it in monitor["podMetricsEndpoints"]] == [container["ports"][1]["name"]]
    # what kustomize and Grafana take for names
    assert load(baked, "monitoring/kustomization.yaml")["resources"] == [
        "podmonitor.yaml",
        "rules.yaml",
    ]
    assert dashboard["uid"] == slug


def test_memory_bounds_the_workers_of_a_large_node(bake: BakeFunction) -> None:
    baked = bake()
    code = (
        "import os, pathlib, sys\n"
        "from falcon_service.serving import capacity\n"
        "os.sched_getaffinity = lambda _: range(64)\n"
        "print(capacity.plan(0, pathlib.Path(sys.argv[1]))[0])\n"
    )
    cgroup = baked.path.parent / "cgroup"
    cgroup.mkdir()
    [container] = manifests(baked)["Deployment"]["spec"]["template"]["spec"]["containers"]
    mebibytes = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    (cgroup / "memory.max").write_text(str(mebibytes * 2**20))
    (cgroup / "cpu.max").write_text("max 100000")
    result = baked.run(sys.executable, "-c", code, str(cgroup), PYTHONPATH="src")
    assert result.stdout == "4\n", result.stderr
    assert "no more than this holds: four of 48 MiB" in baked.read("deploy/deployment.yaml")
