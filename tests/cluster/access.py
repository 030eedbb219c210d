"""The access rules that docs/fleet.md shows for RabbitMQ: they let a gateway do what it does, and nothing else."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.cluster.nodes import RabbitMQ
from tests.support.cellar import PASSWORD, check_rights, client
from tests.support.docs import page


def check_access(cluster: RabbitMQ, folder: Path) -> None:
    """Run the commands of the page, and try as the user that they make. Raises `AssertionError`."""
    for line in page("docs/fleet.md").only("sh rabbitmq").text.splitlines():
        words = [PASSWORD if word == "PASSWORD" else word for word in shlex.split(line)]
        done = cluster.run(f"{cluster.TOOLS}/{words[0]}", *words[1:])
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    with client(cluster.port(0)) as operator:
        check_rights(folder, cluster.port(1), operator)
