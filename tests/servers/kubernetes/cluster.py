"""A cluster of Kubernetes with one node on this machine: real control plane and kubelet, containerd and runc.

Needs root, and the Debian packages containerd, runc, containernetworking-plugins, iptables and kubectl. While it runs
there are a bridge, one rule of the firewall for that bridge, and cgroups `kubepods`; all are gone afterwards.

Pods reach what listens on this machine's loopback at `GATEWAY`, and nothing else. Nobody enforces network policies.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.servers import processes
from tests.servers.kubernetes import programs
from tests.servers.processes import LOOPBACK, Server

GATEWAY: Final = "10.88.7.1"
NODE: Final = "localhost"
PAUSE: Final = "localhost/pause:test"
_SUBNET: Final = "10.88.7.0/24"
_BRIDGE: Final = "syncline0"
_PROGRAMS: Final = ("containerd", "ctr", "runc", "iptables", "kubectl", "openssl", "ip")
_KERNEL: Final = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""What the kubelet sets as it likes it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Running. `kubeconfig` is its administrator's, `socket` containerd's."""

    folder: Path
    kubeconfig: Path
    socket: Path

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Ask as the administrator; a failure carries what it printed."""
        return processes.run(["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments], stdin=stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Objects, as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "--output=json", *arguments))
        return found

    def load(self, archive: Path) -> None:
        """Give the node an image, so that it pulls none."""
        self.ctr("images", "import", str(archive))

    def ctr(self, *arguments: str) -> str:
        return processes.run(["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments])


@contextmanager
def cluster(logs: Path) -> Iterator[Cluster]:
    """Start it; the parts' logs are left in `logs`."""
    check_machine()
    program = str(programs.kubernetes())
    # Sockets have short names.
    folder = Path(tempfile.mkdtemp(prefix="syncline-k8s-"))
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        closing.callback(_unmount, folder)
        closing.callback(_keep_logs, folder, logs)
        closing.enter_context(_as_before())
        closing.enter_context(_bridge())
        client, peer, api, kubelet = processes.free_ports(4)
        token = secrets.token_hex()
        kubeconfig = _kubeconfig(folder, api, token)
        built = Cluster(folder, kubeconfig, folder / "containerd.sock")

        def start(name: str, *command: str) -> None:
            server = Server(name, command, folder / f"{name}.log", lambda _: _is_ready(name, built), start_within_s=180)
            closing.callback(server.stop)
            server.start()

        start("etcd", program, "etcd", f"{folder}/etcd", _http(client), _http(peer))
        start("apiserver", program, "apiserver", *_apiserver(folder, client, api, token))
        common = [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        keys = f"--service-account-private-key-file={folder}/accounts.key"
        start("controllers", program, "controllers", *common, keys)
        start("scheduler", program, "scheduler", *common)
        start("containerd", "containerd", "--config", str(_containerd(folder, built.socket)))
        closing.callback(_end_containers, built)
        settings = [f"--config={_kubelet(folder, built.socket, kubelet)}", f"--kubeconfig={kubeconfig}"]
        places = [f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet-certificates"]
        start("kubelet", program, "kubelet", *settings, *places, f"--hostname-override={NODE}")
        yield built


def check_machine() -> None:
    """Say what is missing on this machine.

    Raises:
        SystemExit: something is.
    """
    if os.geteuid() != 0:
        raise SystemExit("a node of Kubernetes needs root")
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        raise SystemExit(
            f"there is no {', '.join(missing)}: install the Debian packages containerd, runc, "
            "containernetworking-plugins, iptables, iproute2, openssl, and kubectl"
        )


def _is_ready(name: str, built: Cluster) -> bool:
    """Whether a part does its work: what it does is seen at the API server, or at its socket."""
    try:
        match name:
            case "apiserver":
                return built.kubectl("get", "--raw=/readyz") == "ok"
            case "controllers":
                return bool(built.kubectl("get", "serviceaccount", "default", "--output=name"))
            case "containerd":
                return bool(built.ctr("version"))
            case "kubelet":
                conditions = built.get("node", NODE)["status"]["conditions"]
                return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            case _:
                return True
    except processes.ServerFailedError:
        time.sleep(0.5)
        return False


def _http(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _kubeconfig(folder: Path, port: int, token: str) -> Path:
    path = folder / "kubeconfig"
    name = "test"
    server = {"server": f"https://{LOOPBACK}:{port}", "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return path


def _apiserver(folder: Path, etcd: int, port: int, token: str) -> list[str]:
    key = folder / "accounts.key"
    processes.run(["openssl", "genrsa", "-out", str(key), "2048"])
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{token},administrator,1,"system:masters"\n')
    return [
        f"--etcd-servers={_http(etcd)}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--cert-dir={folder}/certificates",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.7.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        # The kubelet listens on loopback, and not at the node's address.
        "--kubelet-preferred-address-types=Hostname",
    ]


def _containerd(folder: Path, socket: Path) -> Path:
    networks = folder / "networks"
    networks.mkdir()
    bridge = {
        "type": "bridge",
        "bridge": _BRIDGE,
        "isGateway": True,
        "ipam": {"type": "host-local", "subnet": _SUBNET, "gateway": GATEWAY, "dataDir": f"{folder}/addresses"},
    }
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "loopback"}]}
    (networks / "10-pods.conflist").write_text(json.dumps(network))
    path = folder / "containerd.toml"
    path.write_text(
        f"""version = 2
root = "{folder}/images"
state = "{folder}/containers"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "{LOOPBACK}"
  disable_apparmor = true
  # Not every root may protect processes from the kernel's out-of-memory killer.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
"""
    )
    return path


def _kubelet(folder: Path, socket: Path, port: int) -> Path:
    path = folder / "kubelet.yaml"
    content = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": LOOPBACK,
        "port": port,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket}",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        "podLogsDir": f"{folder}/pod-logs",
        "volumePluginDir": f"{folder}/volume-plugins",
        # A developer's disk may be fuller than a node's.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        # As a pod's Secret is brought up to date: by default a minute or more.
        "syncFrequency": "10s",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def _bridge() -> Iterator[None]:
    """The pods' network. What is sent to its gateway comes to this machine's loopback."""
    redirect = ["PREROUTING", "-i", _BRIDGE, "-d", GATEWAY, "-p", "tcp", "-j", "DNAT", "--to-destination", LOOPBACK]
    rule = ["iptables", "--wait", "-t", "nat"]
    with ExitStack() as closing:
        processes.run(["ip", "link", "add", _BRIDGE, "type", "bridge"])
        closing.callback(subprocess.run, ["ip", "link", "delete", _BRIDGE], check=False)
        processes.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", _BRIDGE])
        processes.run(["ip", "link", "set", _BRIDGE, "up"])
        Path(f"/proc/sys/net/ipv4/conf/{_BRIDGE}/route_localnet").write_text("1")
        processes.run([*rule, "-A", *redirect])
        closing.callback(subprocess.run, [*rule, "-D", *redirect], check=False)
        yield


@contextmanager
def _as_before() -> Iterator[None]:
    """The kernel's settings are afterwards what they were."""
    files = [Path("/proc/sys") / name for name in _KERNEL]
    before: Mapping[Path, str] = {file: file.read_text() for file in files}
    try:
        yield
    finally:
        for file, value in before.items():
            file.write_text(value)


def _end_containers(built: Cluster) -> None:
    """End what the kubelet has left running; each container has a process of its own that outlives containerd."""
    with suppress(processes.ServerFailedError):
        for task in built.ctr("tasks", "list", "--quiet").split():
            with suppress(processes.ServerFailedError):
                built.ctr("tasks", "kill", "--signal", "SIGKILL", "--all", task)
        time.sleep(1)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_ours = str(built.socket).encode() in (process / "cmdline").read_bytes()
            if is_ours and "shim" in (process / "comm").read_text():
                os.kill(int(process.name), signal.SIGKILL)


def _unmount(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(mounted):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], check=False)
    for root in Path("/sys/fs/cgroup").glob("*/kubepods"):
        for group in sorted([root, *root.rglob("*/")], reverse=True):
            with suppress(OSError):
                group.rmdir()


def _keep_logs(folder: Path, logs: Path) -> None:
    for log in folder.glob("*.log"):
        shutil.copy(log, logs)
