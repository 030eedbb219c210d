"""Three nodes of one broker cluster, in a tree of Debian: each can be killed and started again.

They listen on fixed ports, and so must run where nothing else does: see `tests.support.seclusion`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.support.docs import page
from tests.support.waiting import wait_until

_HERE = Path(__file__).parent
_TREE = _HERE.parents[1] / ".trees/forky"
_START = 120.0  # s for a cluster to be complete, on a busy machine
NODES = range(3)


def prepare() -> int:
    """Install the brokers where they are missing; return 3, after saying why, where that cannot be."""
    return subprocess.run([_HERE / "tree.sh", "prepare"], check=False).returncode


class Cluster:
    """Nodes 0 to 2, whose data is kept until it is closed. A node listens for MQTT at `port(node)`."""

    protocol: ClassVar[int]
    """The newest version of MQTT that it speaks, as the level in CONNECT."""

    def __init__(self) -> None:
        self.needs_all_nodes = False
        """Whether a session waits for the node that it began on."""
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=_TREE / "var/tmp"))
        self.folder = f"/{self._folder.relative_to(_TREE)}"  # in the tree
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.prepare(self._folder)
            for node in NODES:
                self.start(node)
            self.wait_complete()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in list(self._processes):
            self.kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)  # what else was started may still write there

    @staticmethod
    def port(node: int) -> int:
        return 18830 + node

    def start(self, node: int) -> None:
        with (self._folder / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                self._inside(*self.command(node)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment(node)},
                start_new_session=True,
            )

    def kill(self, node: int) -> None:
        """Kill a node, with all its processes, without a chance to save or to say anything."""
        process = self._processes.pop(node)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_complete(self) -> None:
        """Return once all nodes run and know of each other."""
        wait_until(self._is_complete, _START, lambda: f"the cluster:\n{self.log_tail()}", pause=0.25)

    def _is_complete(self) -> bool:
        for node, process in self._processes.items():
            assert process.poll() is None, f"node {node} has ended:\n{self.log_tail()}"
        return all(self.is_ready(node) for node in NODES) and self.is_whole()

    def log_tail(self) -> str:
        """Return the last lines that each node has written."""
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join("\n".join(log.read_text(errors="replace").splitlines()[-8:]) for log in logs)

    def resident(self) -> int:
        """Return the memory in use by the largest node, in bytes."""
        sizes = [_resident(process.pid) for process in self._processes.values()]
        return max(sizes, default=0)

    def _inside(self, *command: str) -> list[str]:
        return [str(_HERE / "tree.sh"), "run", *command]

    def run(self, *command: str, node: int = 0, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree until it ends."""
        environment = {**os.environ, **self.environment(node)}
        return subprocess.run(self._inside(*command), env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)  # fmt: skip

    # --- what each kind of broker defines

    def prepare(self, folder: Path) -> None:
        """Write the configuration of all nodes into `folder`."""
        raise NotImplementedError

    def command(self, node: int) -> Sequence[str]:
        """Return the command that becomes a node."""
        raise NotImplementedError

    def environment(self, node: int) -> Mapping[str, str]:
        """Return what is added to the environment of a node and of its tools."""
        return {}

    def is_ready(self, node: int) -> bool:
        """Return whether a node that was started serves clients again."""
        raise NotImplementedError

    def is_whole(self) -> bool:
        """Return whether nodes that are ready know of each other."""
        return True


class RabbitMQ(Cluster):
    """RabbitMQ. `queues` is the type of the queue that it makes for each session: classic or quorum."""

    protocol = 5
    TOOLS = "/usr/lib/rabbitmq/bin"

    def __init__(self, queues: str = "quorum") -> None:
        super().__init__()
        self._queues = queues
        self.needs_all_nodes = queues == "classic"

    def prepare(self, folder: Path) -> None:
        nodes = "".join(f"cluster_formation.classic_config.nodes.{node} = {_rabbit(node)}\n" for node in NODES)
        for node in NODES:
            (folder / f"{node}.conf").write_text(
                f"cluster_formation.peer_discovery_backend = classic_config\n{nodes}"
                f"listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.port(node)}\n"
                f"{_settings('rabbitmq').replace('quorum', self._queues)}log.console = true\nlog.file = false\n"
            )
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text("cluster-test")
        cookie.chmod(0o400)
        self.run("epmd", "-daemon")  # otherwise the first node starts it, and takes it away when it is killed

    def command(self, node: int) -> Sequence[str]:
        return [f"{self.TOOLS}/rabbitmq-server"]

    def environment(self, node: int) -> Mapping[str, str]:
        return {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": _rabbit(node),
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/{node}.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/data",
            "RABBITMQ_LOG_BASE": f"{self.folder}/log",
            "RABBITMQ_DIST_PORT": str(25670 + node),
            "RUNNING_UNDER_SYSTEMD": "true",  # so that the command becomes the node
        }

    def is_ready(self, node: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port(node))) == 0

    def is_whole(self) -> bool:
        return self.run(f"{self.TOOLS}/rabbitmqctl", "await_online_nodes", str(len(NODES)), "-t", "20").returncode == 0


class Nats(Cluster):
    """NATS with JetStream, which keeps sessions and retained messages on all nodes."""

    protocol = 4

    def prepare(self, folder: Path) -> None:
        routes = ", ".join(f'"nats://127.0.0.1:{6220 + node}"' for node in NODES)
        for node in NODES:
            (folder / f"{node}.conf").write_text(
                f'server_name: "node{node}"\nlisten: "127.0.0.1:{4220 + node}"\nhttp: "127.0.0.1:{8220 + node}"\n'
                f'jetstream {{ store_dir: "{self.folder}/data{node}", max_mem: 64MB, max_file: 1GB }}\n'
                f'cluster {{ name: "test", listen: "127.0.0.1:{6220 + node}", routes: [{routes}] }}\n'
                f'mqtt {{ listen: "127.0.0.1:{self.port(node)}", {_settings("nats")} }}\n'
            )

    def command(self, node: int) -> Sequence[str]:
        return ["nats-server", "--config", f"{self.folder}/{node}.conf"]

    def is_ready(self, node: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{8220 + node}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False


def _settings(broker: str) -> str:
    """Return the settings that the documentation recommends."""
    return page("docs/fleet.md").only(f"text {broker}").text


def _rabbit(node: int) -> str:
    return f"node{node}@localhost"


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])
