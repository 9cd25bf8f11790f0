"""Deploys a project on the cluster of $KUBECONFIG, and does to it what happens to services there.

    python tests/cluster/rollout.py PROJECT IMAGE [OTHER_IMAGE]

PROJECT is the folder of a service that was made from the template. The nodes have IMAGE, or can
pull it, and OTHER_IMAGE, which rollouts alternate with it. This makes two namespaces and removes
them: one with Pod Security "restricted", and one without, for pods that send requests from the
node, and kill its processes. It prints what it measures; the first requirement that is not met
ends it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Figures = dict[str, object]

CLIENTS = Path(__file__).with_name("clients.py").read_text("utf-8")
KEPT, ANEW = 32, 8
PODS = 2
SLEEP = "import time; time.sleep(100000)"

# Kills the first process of a container, or one of its children. It runs outside of the container,
# whose first process no signal from inside would reach.
KILL = """
import os, sys
container, victim = sys.argv[1:]
parents = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if container in open(f"/proc/{pid}/cgroup").read():
            stat = open(f"/proc/{pid}/stat").read()
            parents[int(pid)] = int(stat.rpartition(")")[2].split()[1])
    except OSError:
        pass
[master] = [pid for pid, parent in parents.items() if parent not in parents]
workers = [pid for pid, parent in parents.items() if parent == master]
os.kill(master if victim == "master" else workers[0], 9)
"""

# The service, with routes that do what routes should not.
FAULTY = """
import time
import falcon.asgi
from gunicorn.app.wsgiapp import run
from {package} import app

class Fault:
    def __init__(self, act):
        self.act = act

    def on_get(self, req, resp):
        self.act()

class FaultAsync(Fault):
    async def on_get(self, req, resp):
        self.act()

def eat():
    eaten = []
    while True:
        eaten.append(b"x" * (1 << 20))

create_app = app.create_app

def create_faulty_app(settings):
    service = create_app(settings)
    fault = FaultAsync if isinstance(service, falcon.asgi.App) else Fault
    service.add_route("/eat", fault(eat))
    service.add_route("/fail", fault(lambda: 1 / 0))
    service.add_route("/slow", fault(lambda: time.sleep(1.5)))
    return service

app.create_app = create_faulty_app
run(prog="gunicorn")
"""

ASK = """
import http.client, sys
http.client.HTTPConnection(sys.argv[1], 8000, timeout=60).request("GET", sys.argv[2])
"""


class NotMetError(Exception):
    """The service does not do what it has to."""


def require(condition: object, *told: object) -> None:
    """Raise an error that tells these unless a condition holds."""
    if not condition:
        raise NotMetError(" ".join(map(str, told)))


def kubectl(*arguments: str, typed: object = None, check: bool = True) -> str:
    """Run kubectl, which must succeed unless it is not checked, and return what it prints.

    An object that is typed is a manifest.
    """
    result = subprocess.run(
        ["kubectl", *arguments],
        input=json.dumps(typed) if typed else None,
        capture_output=True,
        text=True,
        check=False,
    )
    require(not check or result.returncode == 0, "kubectl", *arguments, "failed:\n", result.stderr)
    return result.stdout + ("" if check else result.stderr)


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until something holds, for so many seconds at most, and return how many it took."""
    started = time.monotonic()
    while not condition():
        require(time.monotonic() < started + seconds, f"not within {seconds} s: {what}")
        time.sleep(0.2)
    return time.monotonic() - started


def run_outside(namespace: str, name: str, image: str, **spec: object) -> None:
    """Run a pod in the node's network, in which commands can be run."""
    container = {"name": name, "image": image, "command": ["python3", "-c", SLEEP]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }
    there = f"--namespace={namespace}"
    kubectl("create", "--filename=-", there, typed=pod)
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", there)


class Trial:
    """A service that is deployed in namespaces of its own."""

    def __init__(self, project: Path, image: str, other_image: str = "") -> None:
        """Take the service's folder, its image, and one that rollouts alternate with it."""
        self.project, self.image, self.other_image = project, image, other_image
        [package] = [path.parent.name for path in (project / "src").glob("*/app.py")]
        self.package = package
        self.name = package.replace("_", "-")
        self.deployment = f"deployment/{self.name}"
        self.namespace = f"{self.name}-{os.urandom(3).hex()}"
        self.outside = f"{self.namespace}-node"

    def kubectl(self, *arguments: str, typed: object = None, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return kubectl("--namespace", self.namespace, *arguments, typed=typed, check=check)

    def get(self, what: str) -> dict[str, Any]:
        """Return an object, or a list of them."""
        found: dict[str, Any] = json.loads(self.kubectl("get", what, "--output=json"))
        return found

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of the service, those that end too."""
        selector = f"--selector=app.kubernetes.io/name={self.name}"
        found: list[dict[str, Any]] = json.loads(
            self.kubectl("get", "pods", selector, "--output=json")
        )["items"]
        return found

    def serving(self) -> list[dict[str, Any]]:
        """Return the pods that are ready, and do not end."""
        return [
            pod
            for pod in self.pods()
            if "deletionTimestamp" not in pod["metadata"]
            and {"Ready": "True"}.items()
            <= {it["type"]: it["status"] for it in pod["status"].get("conditions", [])}.items()
        ]

    def is_settled(self, pods: int = PODS) -> bool:
        """Return whether there are so many pods, and all are ready."""
        return len(self.serving()) == len(self.pods()) == pods

    def restarts(self) -> dict[str, int]:
        """Return how often each pod was restarted."""
        return {
            pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"]
            for pod in self.serving()
        }

    def apply(self, *, scales: bool = False) -> None:
        """Apply the manifests with the image, and let the autoscaler do its work or not."""
        container = "/spec/template/spec/containers/0"
        set_image = [{"op": "replace", "path": f"{container}/image", "value": self.image}]
        # it would wait for five minutes before it takes pods away
        behavior: object = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        scale = [{"op": "add", "path": "/spec/behavior", "value": behavior}]
        if not scales:
            scale.append({"op": "replace", "path": "/spec/maxReplicas", "value": PODS})
        with tempfile.TemporaryDirectory() as folder:
            overlay = {
                "resources": [os.path.relpath(self.project / "deploy", Path(folder).resolve())],
                "namespace": self.namespace,
                "patches": [
                    {"target": {"kind": "Deployment"}, "patch": json.dumps(set_image)},
                    {"target": {"kind": "HorizontalPodAutoscaler"}, "patch": json.dumps(scale)},
                ],
            }
            (Path(folder) / "kustomization.yaml").write_text(json.dumps(overlay))
            kubectl("apply", "--kustomize", folder)

    def rolled_out(self, seconds: int = 120) -> bool:
        """Return whether a rollout comes to its end within so many seconds."""
        status = ("rollout", "status", self.deployment, f"--timeout={seconds}s")
        return "successfully rolled out" in self.kubectl(*status, check=False)

    def __enter__(self) -> "Trial":
        """Make the namespaces, and the pod of the clients."""
        for namespace, level in ((self.namespace, "restricted"), (self.outside, "privileged")):
            labels = {"pod-security.kubernetes.io/enforce": level}
            metadata = {"name": namespace, "labels": labels}
            kubectl(
                "create",
                "--filename=-",
                typed={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            )
        # not all bridges let a pod reach a pod of the same node through a Service
        run_outside(self.outside, "clients", self.image)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the namespaces."""
        kubectl("delete", "namespace", self.namespace, self.outside, "--timeout=120s")

    @contextmanager
    def clients(self, kept: int = KEPT, anew: int = ANEW) -> Iterator[Counter[str]]:
        """Have clients ask the Service while the context lasts, and yield their results."""
        address = self.get(f"service/{self.name}")["spec"]
        where = (address["clusterIP"], str(address["ports"][0]["port"]), str(kept), str(anew))
        process = subprocess.Popen(
            [
                *("kubectl", "--namespace", self.outside, "exec", "--stdin", "clients", "--"),
                *("python3", "-c", CLIENTS, *where),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        results: Counter[str] = Counter()

        def read(lines: Iterator[str]) -> None:
            for line in lines:
                results.update(Counter(json.loads(line)) - results)

        reader = threading.Thread(target=read, args=(iter(process.stdout),))
        reader.start()
        try:
            wait_until(lambda: results["answered"], 30, "the first answer")
            yield results
        finally:
            process.stdin.write("\n")
            process.stdin.close()
            require(process.wait(30) == 0, "the clients failed")
            reader.join()

    def create(self) -> Figures:
        """Deploy it in a namespace that refuses what is not restricted."""
        started = time.monotonic()
        self.apply()
        require(self.rolled_out(), "no pod is ready:", self.kubectl("describe", "pods"))
        ready = time.monotonic() - started
        wait_until(self.is_settled, 90, f"{PODS} pods are ready")
        return {"seconds to the first pod": round(ready, 1)}

    def rollouts(self, count: int = 4, requests: int = 100_000) -> Figures:
        """Roll it out again and again, with either image, without the loss of a request."""
        seconds = []
        images = [self.other_image, self.image]
        with self.clients() as results:
            for number in range(count):
                started = time.monotonic()
                if self.other_image and number % 2:
                    image = images[number // 2 % 2]
                    self.kubectl("set", "image", self.deployment, f"{self.name}={image}")
                else:
                    self.kubectl("rollout", "restart", self.deployment)
                require(self.rolled_out(), "the rollout does not end")
                seconds.append(round(time.monotonic() - started, 1))
            wait_until(self.is_settled, 60, "the last of the old pods has ended")
            wait_until(lambda: results["answered"] >= requests, 300, f"{requests} requests")
        require(results.keys() == {"answered"}, "requests failed:", dict(results))
        return {"requests": results["answered"], "failed": 0, "seconds a rollout": seconds}

    def never_ready(self) -> Figures:
        """Roll a version out that never becomes ready, and undo it, unnoticed."""
        with self.clients() as results:
            before = set(self.restarts())
            # not a number, so the service ends at once and says why
            self.kubectl("set", "env", self.deployment, "DRAIN_SECONDS=soon")
            require(not self.rolled_out(15), "a version was rolled out that cannot start")
            require(set(self.restarts()) == before, "the old version serves no more")
            self.kubectl("rollout", "undo", self.deployment)
            require(self.rolled_out(), "it cannot be undone")
            wait_until(self.is_settled, 60, "the version that cannot start has ended")
            require(set(self.restarts()) == before, "the old version was replaced")
        require(results.keys() == {"answered"}, "requests failed:", dict(results))
        return {"requests": results["answered"], "failed": 0}

    def evict(self, pod: dict[str, Any]) -> str:
        """Evict a pod as `kubectl drain` does, and return what the API says."""
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/eviction"
        metadata = {"name": name, "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        return kubectl("create", "--raw", path, "--filename=-", typed=eviction, check=False)

    def eviction(self) -> Figures:
        """Evict pods, one at a time as the budget says, without the loss of a request."""
        with self.clients() as results:
            first, second = self.serving()
            answer = self.evict(first)
            require('"Success"' in answer, "the first pod was not evicted:", answer)
            answer = self.evict(second)
            require("disruption budget" in answer, "the second pod was not spared:", answer)
            seconds = wait_until(lambda: len(self.serving()) == PODS, 60, "a new pod is ready")
            answer = self.evict(second)
            require('"Success"' in answer, "the second pod was not evicted:", answer)
            wait_until(self.is_settled, 60, "the evicted pods have ended")
        require(results.keys() == {"answered"}, "requests failed:", dict(results))
        return {
            "requests": results["answered"],
            "failed": 0,
            "seconds to a new pod": round(seconds, 1),
        }

    def kill(self, victim: str) -> tuple[Counter[str], dict[str, int], float]:
        """Kill a process of a pod, and return what clients got, restarts, and seconds."""
        pod = self.serving()[0]
        container = pod["status"]["containerStatuses"][0]["containerID"].partition("//")[2]
        there = ("--namespace", self.outside)
        node = {"nodeName": pod["spec"]["nodeName"], "hostPID": True}
        run_outside(self.outside, "killer", self.image, **node, securityContext={"runAsUser": 0})
        before = self.restarts()
        with self.clients() as results:
            kubectl(*there, "exec", "killer", "--", "python3", "-c", KILL, container, victim)
            started = time.monotonic()
            # the pod's state follows a moment later
            time.sleep(2)
            wait_until(self.is_settled, 60, "the pod is ready again")
            seconds = time.monotonic() - started
            enough = results["answered"] + 1000
            wait_until(lambda: results["answered"] >= enough, 60, "more answers")
        kubectl(*there, "delete", "pod", "killer")
        after = self.restarts()
        require(after.keys() == before.keys(), "a pod was replaced")
        return results, {name: after[name] - before[name] for name in after}, seconds

    def killed_master(self) -> Figures:
        """Kill the first process of a pod, which starts again, and loses only its own requests."""
        results, restarts, seconds = self.kill("master")
        require(sorted(restarts.values()) == [0, 1], "not one pod was restarted:", restarts)
        return self.lost(results) | {"seconds until ready again": round(seconds, 1)}

    def killed_worker(self) -> Figures:
        """Kill a worker, which is replaced, and loses only its own requests."""
        results, restarts, _ = self.kill("worker")
        require(set(restarts.values()) == {0}, "a pod was restarted:", restarts)
        require(not results["refused"], "connections were refused:", dict(results))
        return self.lost(results)

    def make_faulty(self) -> None:
        """Add the routes /eat, /fail and /slow; `rollout undo` takes them away."""
        command = ["python3", "-c", FAULTY.format(package=self.package)]
        path = "/spec/template/spec/containers/0/command"
        patch = json.dumps([{"op": "add", "path": path, "value": command}])
        self.kubectl("patch", self.deployment, "--type=json", f"--patch={patch}")
        require(self.rolled_out(), "the service with the routes of faults is not ready")
        wait_until(self.is_settled, 60, "the pods are ready")

    def lost(self, results: Counter[str]) -> Figures:
        """Return what was lost: no more than one request of each client."""
        require(set(results) <= {"answered", "lost", "refused"}, "wrong answers:", dict(results))
        require(results["lost"] <= KEPT + ANEW, "others lost requests, too:", dict(results))
        return {
            "requests": results["answered"],
            "lost": results["lost"],
            "connections refused": results["refused"],
        }

    def memory(self) -> Figures:
        """Have a pod take more memory than its limit, and lose only its own requests."""
        self.make_faulty()
        pod = self.serving()[0]
        before = self.restarts()
        with self.clients() as results:
            there = ("--namespace", self.outside)
            command = ["python3", "-c", ASK, pod["status"]["podIP"], "/eat"]
            kubectl(*there, "exec", "clients", "--", *command)
            time.sleep(5)
            wait_until(self.is_settled, 60, "the pod is ready again")
            enough = results["answered"] + 1000
            wait_until(lambda: results["answered"] >= enough, 60, "more answers")
        after = self.restarts()
        require(after.keys() == before.keys(), "a pod was replaced")
        restarted = [name for name in after if after[name] != before[name]]
        require(set(restarted) <= {pod["metadata"]["name"]}, "another pod was restarted")
        said = self.kubectl("logs", pod["metadata"]["name"], "--since=60s")
        # where the kernel ends one process of a container, and not all, gunicorn says so
        require(restarted or "Perhaps out of memory?" in said, "nothing ran out of memory")
        self.kubectl("rollout", "undo", self.deployment)
        require(self.rolled_out(), "it cannot be undone")
        wait_until(self.is_settled, 60, "the pods are ready")
        return self.lost(results) | {"ended": "the pod" if restarted else "one worker"}

    def autoscaler(self) -> Figures:
        """Have the autoscaler add pods under load, and take them away without."""
        manifest = json.loads(
            kubectl(
                "create",
                "--dry-run=client",
                "--output=json",
                "--filename",
                str(self.project / "deploy" / "autoscaler.yaml"),
            )
        )
        most = manifest["spec"]["maxReplicas"]
        self.apply(scales=True)
        require(self.rolled_out(), "the manifests cannot be applied again")
        wait_until(self.is_settled, 60, "the pods are ready")
        with self.clients() as results:
            up = wait_until(lambda: len(self.serving()) == most, 180, f"{most} pods are ready")
        down = wait_until(self.is_settled, 240, f"there are {PODS} pods again")
        require(results.keys() == {"answered"}, "requests failed:", dict(results))
        return {"pods": most, "seconds up": round(up), "seconds down": round(down)}


# In this order, as the first deploys what the others try.
SCENARIOS: list[Callable[[Trial], Figures]] = [
    Trial.create,
    Trial.rollouts,
    Trial.never_ready,
    Trial.eviction,
    Trial.killed_master,
    Trial.killed_worker,
    Trial.memory,
    Trial.autoscaler,
]


def main() -> str | None:
    """Run all scenarios, and return what is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("image")
    parser.add_argument("other_image", nargs="?", default="")
    arguments = parser.parse_args()
    try:
        with Trial(arguments.project, arguments.image, arguments.other_image) as trial:
            for scenario in SCENARIOS:
                started = time.monotonic()
                figures = scenario(trial)
                told = ", ".join(f"{name}: {value}" for name, value in figures.items())
                seconds = time.monotonic() - started
                print(f"{scenario.__name__} ({seconds:.0f} s): {told}", flush=True)
    except NotMetError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
