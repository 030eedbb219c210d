"""A network namespace with its own cable: programs in it reach this machine only by that cable. Needs root.

with Namespace() as place:          # a broker listens at place.address
    Gateway(..., prefix=place.prefix)
    place.pull()                    # neither end of a TCP connection is notified
"""

from __future__ import annotations

import random
import subprocess
from types import TracebackType

from tests.support.broker import find_tool, tool_or_skip


class Namespace:
    """`prefix` runs a command in it; `address` is this machine's address in it."""

    def __init__(self) -> None:
        for tool in ("ip", "tc"):
            tool_or_skip(tool, "iproute2")
        # A /30 of 10.201.0.0/16. Random, since two containers on one network can have the same process id.
        number = random.randrange(16384)
        self.name = f"mg{number}"
        self._net = f"10.201.{number // 64}.{number % 64 * 4 + 1}", f"10.201.{number // 64}.{number % 64 * 4 + 2}"
        self.address = self._net[0]
        self.prefix = (str(find_tool("ip")), "netns", "exec", self.name)

    def __enter__(self) -> Namespace:
        outer, inner = f"{self.name}a", f"{self.name}b"
        self._run("ip", "netns", "add", self.name)
        try:
            self._run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
            self._run("ip", "addr", "add", f"{self._net[0]}/30", "dev", outer)
            self._run("ip", "link", "set", outer, "up")
            self._run("ip", "-n", self.name, "addr", "add", f"{self._net[1]}/30", "dev", inner)
            self._run("ip", "-n", self.name, "link", "set", "lo", "up")
            self._run("ip", "-n", self.name, "link", "set", inner, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("ip", "netns", "del", self.name)  # and the cable with it, once its last process has ended

    def pull(self) -> None:
        """Unplug the cable at this machine's end: nothing passes, and neither side is notified."""
        self._run("ip", "link", "set", f"{self.name}a", "down")

    def plug_in(self) -> None:
        """Plug the cable in again."""
        self._run("ip", "link", "set", f"{self.name}a", "up")

    def slow_down(self, rate: str) -> None:
        """Limit the outgoing traffic of the namespace to `rate`, in the notation of tc(8)."""
        self._run("tc", "-n", self.name, "qdisc", "replace", "dev", f"{self.name}b", "root", "tbf", "rate", rate,
                  "burst", "4kb", "latency", "50ms")  # fmt: skip

    def _run(self, tool: str, *arguments: str) -> None:
        done = subprocess.run([str(find_tool(tool)), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{tool} {' '.join(arguments)}: {done.stderr}"
