"""Prometheus finds the service, every expression gives data, and every alert fires on its fault."""

import json
import re
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import images
import pytest
import yaml
from conftest import BakeFunction, load_images
from rollout import Trial, wait_until
from support import Bake, free_port, get

pytestmark = pytest.mark.cluster

# Takes memory until the container is near its limit, in either version of control groups, and
# keeps it until a line is typed.
HOLD = """
import sys
from pathlib import Path
group = Path("/sys/fs/cgroup")
version2 = (group / "memory.max").exists()
limit = group / ("memory.max" if version2 else "memory/memory.limit_in_bytes")
used = group / ("memory.current" if version2 else "memory/memory.usage_in_bytes")
held = []
while int(used.read_text()) < 0.95 * int(limit.read_text()):
    held.append(b"x" * (1 << 20))
sys.stdin.readline()
"""
# Asks for a URL, by so many threads, until a line is typed.
ASK = """
import sys, threading, urllib.request
def ask():
    while not stopped.wait(0.1):
        try:
            urllib.request.urlopen(sys.argv[1], timeout=10).read()
        except OSError:
            pass
stopped = threading.Event()
threads = [threading.Thread(target=ask) for _ in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
sys.stdin.readline()
stopped.set()
"""
# As Prometheus finds pods by their annotations, but through a proxy of the API. What it knows of
# the kubelets comes the same way.
CONFIG = """
global: {{scrape_interval: 2s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs: [{{role: pod, api_server: "http://{api}"}}]
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        regex: "true"
        action: keep
      - regex: __meta_kubernetes_pod_label_(.+)
        action: labelmap
      - source_labels: [__meta_kubernetes_namespace]
        target_label: namespace
      - source_labels: [__meta_kubernetes_pod_name]
        target_label: pod
      - source_labels: [namespace, pod, __meta_kubernetes_pod_annotation_prometheus_io_port]
        regex: (.+);(.+);(.+)
        replacement: /api/v1/namespaces/$1/pods/$2:$3/proxy/metrics
        target_label: __metrics_path__
      - {{replacement: "{api}", target_label: __address__}}
"""
KUBELET = """
  - job_name: {path}
    kubernetes_sd_configs: [{{role: node, api_server: "http://{api}"}}]
    relabel_configs:
      - source_labels: [__meta_kubernetes_node_name]
        replacement: /api/v1/nodes/$1/proxy/metrics/{path}
        target_label: __metrics_path__
      - {{replacement: "{api}", target_label: __address__}}
"""


@pytest.fixture(scope="module")
def baked(bake_session: BakeFunction, cluster: None, engine: None, network: None) -> Bake:
    """Return a service whose image is on the nodes."""
    baked = bake_session(project_slug="watched")
    baked.make("docker", IMAGE="watched:1")
    load_images("watched:1")
    return baked


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int, namespace: str) -> None:
        """Take its port, and the namespace to look at."""
        self.url, self.namespace = f"http://127.0.0.1:{port}/api/v1", namespace

    def ask(self, path: str) -> Any:  # noqa: ANN401
        """Return the data of an answer."""
        return json.loads(get(f"{self.url}/{path}")[1])["data"]

    def has_data(self, expression: str) -> bool:
        """Return whether an expression gives a number."""
        query = urllib.parse.urlencode({"query": expression})
        found = self.ask(f"query?{query}")["result"]
        return any(it["value"][1] != "NaN" for it in found)

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {
            it["labels"]["alertname"]
            for it in self.ask("alerts")["alerts"]
            if it["state"] == "firing" and it["labels"]["namespace"] == self.namespace
        }

    def fires_alone(self, alert: str, ended: set[str]) -> bool:
        """Return whether an alert fires and those have ended; no other may fire meanwhile."""
        firing = self.firing()
        assert firing <= {alert} | ended
        return firing == {alert}


def shorten(text: str) -> str:
    """Return expressions and rules with minutes for hours, and less for minutes."""
    return re.sub(r"\b1h\b", "2m", re.sub(r"\b5m\b", "20s", text))


@contextmanager
def prometheus(trial: Trial, tools: str, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus with the rules of a service, on the host."""
    port, api = free_port(), f"127.0.0.1:{free_port()}"
    config = CONFIG + KUBELET.replace("{path}", "cadvisor") + KUBELET.replace("{path}", "probes")
    (folder / "prometheus.yml").write_text(config.format(api=api))
    rules = yaml.safe_load((trial.project / "deploy/monitoring/rules.yaml").read_text("utf-8"))
    (folder / "rules.yaml").write_text(shorten(yaml.safe_dump(rules["spec"])))
    images.docker(
        *("run", "--rm", f"--volume={folder}:{folder}", tools),
        *("promtool", "check", "config", f"{folder}/prometheus.yml"),
    )
    proxy = subprocess.Popen(["kubectl", "proxy", f"--port={api.partition(':')[2]}"])
    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        "--storage.tsdb.path=/tmp/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    options = ("--network=host", f"--volume={folder}:{folder}")
    try:
        with images.running(tools, *options, command=command):
            ready = f"http://127.0.0.1:{port}/-/ready"
            wait_until(lambda: get(ready)[0] == 200, 60, "Prometheus is ready")
            yield Prometheus(port, trial.namespace)
    finally:
        proxy.terminate()
        proxy.wait()


@contextmanager
def python(namespace: str, pod: str, code: str, *arguments: str) -> Iterator[None]:
    """Run code in a pod, and type a line when the context ends."""
    command = ["kubectl", f"--namespace={namespace}", "exec", "--stdin", pod, "--"]
    process = subprocess.Popen(
        [*command, "python3", "-c", code, *arguments], stdin=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        process.communicate("\n", timeout=30)


def asking(trial: Trial, path: str, clients: int = 1) -> AbstractContextManager[None]:
    """Ask the service for a path ten times a second, while the context lasts."""
    address = trial.get(f"service/{trial.name}")["spec"]["clusterIP"]
    return python(trial.outside, "clients", ASK, f"http://{address}{path}", str(clients))


@contextmanager
def not_ready(trial: Trial) -> Iterator[None]:
    """Roll a version out that does not become ready, while the context lasts."""
    path = "/spec/template/spec/containers/0/readinessProbe/httpGet/path"
    patch = json.dumps([{"op": "replace", "path": path, "value": "/nothing"}])
    trial.kubectl("patch", trial.deployment, "--type=json", f"--patch={patch}")
    yield
    trial.kubectl("rollout", "undo", trial.deployment)


def short_of_memory(trial: Trial) -> AbstractContextManager[None]:
    """Take almost all of a pod's memory, while the context lasts."""
    return python(trial.namespace, trial.serving()[0]["metadata"]["name"], HOLD)


@contextmanager
def restarts(trial: Trial) -> Iterator[None]:
    """End the service of a pod twice."""

    def restarted(pod: str, count: int) -> bool:
        return trial.restarts().get(pod) == count

    pod = trial.serving()[0]["metadata"]["name"]
    for count in (1, 2):
        trial.kubectl("exec", pod, "--", "python3", "-c", "import os; os.kill(1, 15)")
        wait_until(partial(restarted, pod, count), 60, "a restart")
        time.sleep(20)  # or it would not be ready for long enough to make another alert fire
    yield


# By the alert that each makes fire.
FAULTS: dict[str, Callable[[Trial], AbstractContextManager[None]]] = {
    "RequestsFail": lambda trial: asking(trial, "/fail"),
    "RequestsTakeLong": lambda trial: asking(trial, "/slow", clients=3),
    "PodIsNotReady": not_ready,
    "MemoryIsShort": short_of_memory,
    # last, as it is remembered
    "PodRestarts": restarts,
}


def test_every_alert_fires_on_its_fault_alone(baked: Bake, tools: str, tmp_path: Path) -> None:
    monitoring = baked.path / "deploy/monitoring"
    rules = yaml.safe_load((monitoring / "rules.yaml").read_text("utf-8"))
    [group] = rules["spec"]["groups"]
    assert {rule["alert"] for rule in group["rules"]} == set(FAULTS)
    dashboard = json.loads((monitoring / "dashboard.json").read_text("utf-8"))
    with Trial(baked.path, "watched:1") as trial:
        trial.create()
        trial.make_faulty()
        expressions = [shorten(rule["expr"]).rpartition("\n>")[0] for rule in group["rules"]]
        for target in (target for panel in dashboard["panels"] for target in panel["targets"]):
            text = target["expr"].replace("$__rate_interval", "20s")
            expressions.append(shorten(text.replace("$namespace", trial.namespace)))
        with prometheus(trial, tools, tmp_path) as watching, asking(trial, "/"):
            wait_until(lambda: watching.has_data("up"), 60, "a target")
            time.sleep(45)
            assert watching.firing() == set()
            ended: set[str] = set()
            for alert, fault in FAULTS.items():
                with fault(trial):
                    wait_until(partial(watching.fires_alone, alert, ended), 120, f"{alert} fires")
                    if alert == "RequestsFail":
                        missing = [it for it in expressions if not watching.has_data(it)]
                        assert not missing
                wait_until(trial.is_settled, 60, "the pods are ready")
                ended = {alert}
