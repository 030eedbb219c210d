"""docs/fleet.md and packaging/: the access rules, the shared subscription, the probes and the manifest are right."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import main as cli
from gateway.configuration.load_config import load_configuration
from gateway.core.topic import filter_matches
from tests.support.broker import Listener, Mosquitto, find_tool, mosquitto_or_skip
from tests.support.cellar import NAME, PASSWORD, check_rights, client
from tests.support.configuration import write_conf
from tests.support.docs import ROOT, page
from tests.support.gateway_process import COMMAND, GatewayProcess
from tests.support.stream import load
from tests.support.waiting import wait_until

PAGE = page("docs/fleet.md")
MANIFEST = ROOT / "packaging" / "kubernetes" / "mqttgateway.yaml"
DOCKERFILE = ROOT / "packaging" / "docker" / "Dockerfile"


# --- access rules


def test_the_access_rules_let_a_gateway_do_what_it_does_and_nothing_else(tmp_path: Path) -> None:
    mosquitto_or_skip()
    tool = find_tool("mosquitto_passwd")
    assert tool is not None
    (tmp_path / "acl").write_text(PAGE.only("text acl").text)
    for create, user in (["-c"], NAME), ([], "operator"):
        subprocess.run([tool, "-b", *create, tmp_path / "passwd", user, PASSWORD], check=True, capture_output=True)
    extra = f"allow_anonymous false\npassword_file {tmp_path / 'passwd'}\nacl_file {tmp_path / 'acl'}\n"
    with Mosquitto(tmp_path, extra) as broker, client(broker.port, "operator") as operator:
        check_rights(tmp_path, broker.port, operator)


# --- consumers that share the work


def test_two_consumers_share_what_a_gateway_publishes(tmp_path: Path) -> None:
    """Each status goes to one of them; when one leaves, the other gets the rest. Neither gets what is retained."""
    (shared,) = [code for code in PAGE.inline_code() if code.startswith("$share/")]
    interfaces = {"load": load(tmp_path, count=600)}
    with (
        Mosquitto(tmp_path) as broker,
        broker.client("home/#") as whole,
        broker.client(shared) as first,
        GatewayProcess(write_conf(tmp_path, broker.port, interfaces=interfaces)) as gateway,
    ):
        with broker.client(shared) as second:
            wait_until(lambda: len(_statuses(first)) >= 50 and len(_statuses(second)) >= 50, 20, "both to have some")
        before = len(_statuses(whole)) + 20  # what was on its way to the second when it left may be lost
        wait_until(lambda: len(_statuses(whole)) >= 600, 20, lambda: f"all statuses: {gateway.log}")
        rest = set(_statuses(whole)[before:])
        wait_until(lambda: rest <= set(_statuses(first)), 20, "the rest at the first")
        gateway.stop()
    assert rest
    assert max(Counter(_statuses(first) + _statuses(second)).values()) == 1, "each goes to one of them"
    assert not any(message.retain for message in (*first.messages, *second.messages))


def _statuses(listener: Listener) -> list[tuple[str, int]]:
    return [(topic, json.loads(payload)["number"]) for topic, payload in listener.pairs() if topic.endswith("/S")]


# --- serial servers, containers


def test_the_configuration_of_the_serial_server_is_yaml_for_the_port_of_the_example() -> None:
    """Tried by hand with ser2net 4.6.8, and its connector to a pseudo-terminal."""
    document = yaml.safe_load(PAGE.only("text ser2net").text)
    port = document["connection"]["accepter"].rpartition(",")[2]
    (conf,) = [block for block in PAGE.blocks("yaml") if block.settings.get("file") == "cellar.conf"]
    assert f"socket://serial-cellar.example:{port}" in conf.text


def test_the_commands_for_containers_name_what_is_there() -> None:
    lines = [shlex.split(line) for block in PAGE.blocks("sh") for line in block.text.splitlines()]
    build, run = (line for line in lines if line[0] == "docker")
    assert ROOT / build[build.index("-f") + 1] == DOCKERFILE
    targets = [line.split(":")[1] for line in run if line.count(":/") == 1]
    text = DOCKERFILE.read_text()
    assert targets
    assert all(target in text for target in targets)
    create, apply = (line for line in lines if line[0] == "kubectl")
    assert ROOT / apply[apply.index("-f") + 1] == MANIFEST
    assert shlex.join(create) in MANIFEST.read_text(), "the same command in both places"


# --- Kubernetes


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    documents = list(yaml.safe_load_all(MANIFEST.read_text()))
    assert [document["kind"] for document in documents] == ["ConfigMap", "Service", "StatefulSet"]
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(manifest: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def test_the_parts_of_the_manifest_name_each_other(manifest: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    configurations, service, stateful = (manifest[kind] for kind in ("ConfigMap", "Service", "StatefulSet"))
    spec = stateful["spec"]
    name = stateful["metadata"]["name"]
    assert spec["serviceName"] == service["metadata"]["name"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert [*configurations["data"]] == [f"{name}-{number}.conf" for number in range(spec["replicas"])], "one a pod"
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["configuration"]["configMap"]["name"] == configurations["metadata"]["name"]
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert {*mounts} == {*volumes} | claims
    variables = {variable["name"] for variable in container["env"]}
    for mount in mounts.values():
        assert set(re.findall(r"\$\((\w+)\)", mount.get("subPathExpr", ""))) <= variables
    assert f"--from-file={name}-0.password" in MANIFEST.read_text()


def test_the_configurations_of_the_manifest_load(
    manifest: Mapping[str, Any], pod: Mapping[str, Any], tmp_path: Path
) -> None:
    (container,) = pod["containers"]
    file = Path(container["args"][1])
    (tmp_path / "broker.password").write_text("secret")
    topics = []
    for text in manifest["ConfigMap"]["data"].values():
        (tmp_path / file.name).write_text(text)
        configuration = load_configuration(tmp_path / file.name, {})
        assert configuration.name == configuration.mqtt.username, "as the access rules want it"
        (interface,) = configuration.interfaces
        topics += [*interface.msg_map.topics]
        assert filter_matches(topics[-1], f"home/any/{configuration.name}/any/any/any/C")
    assert len({*topics}) == len(topics) == 2


def test_the_image_has_the_folders_and_the_user_that_the_manifest_expects(pod: Mapping[str, Any]) -> None:
    (container,) = pod["containers"]
    text = DOCKERFILE.read_text()
    assert pod["securityContext"]["runAsUser"] == int(re.findall(r"--uid (\d+)", text)[0])
    assert pod["securityContext"]["runAsGroup"] == int(re.findall(r"--gid (\d+)", text)[0])
    environment = dict(re.findall(r"([A-Z_]+)=(/\S+)", text))
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {environment["STATE_DIRECTORY"], environment["XDG_RUNTIME_DIR"]} <= mounts
    assert container["args"] == json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])


def test_the_sources_of_the_image_are_there() -> None:
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [line[1:] for line in ignored if line.startswith("!")]
    assert all((ROOT / source).exists() for source in sources)
    package = (ROOT / "pyproject.toml").read_text()
    needed = {name for name in re.findall(r'= "([a-z]+)"$', package, re.MULTILINE) if (ROOT / name).is_dir()}
    assert needed <= {*sources}, "what setuptools puts into the wheel"


# --- probes


def _probes(pod: Mapping[str, Any]) -> dict[str, list[str]]:
    (container,) = pod["containers"]
    return {kind: container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "liveness", "readiness")}


def _health_check() -> list[str]:
    (command,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return ["sh", "-c", command]


@pytest.fixture
def probe(pod: Mapping[str, Any], tmp_path: Path) -> Iterator[Any]:
    """Return a function that runs a probe beside the gateway `gw` of this test; True: it passes."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "mqttgateway"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    commands = {**_probes(pod), "docker": _health_check()}
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(tmp_path)}

    def run(kind: str) -> bool:
        words = [word.replace("/etc/mqttgateway/gateway.conf", str(tmp_path / "gw.conf")) for word in commands[kind]]
        done = subprocess.run(words, env=environment, capture_output=True, check=False, timeout=20)
        return done.returncode == 0

    yield run


def test_the_commands_of_the_probes_are_taken_by_the_command_line(pod: Mapping[str, Any]) -> None:
    for command in (*_probes(pod).values(), _health_check()):
        words = shlex.split(re.split(r"[|>]", command[2])[0]) if command[:2] == ["sh", "-c"] else command
        assert words[0] == "mqttgateway"
        cli.build_parser().parse_args(words[1:])


def test_a_gateway_is_alive_as_long_as_it_answers_also_without_its_broker(probe: Any, tmp_path: Path) -> None:
    write_conf(tmp_path, 1, interface={"type": "dummy"})
    assert not any(map(probe, ("startup", "liveness", "readiness", "docker"))), "it does not run"
    with (
        Mosquitto(tmp_path) as broker,
        GatewayProcess(write_conf(tmp_path, broker.port, interface={"type": "dummy"})) as gateway,
    ):
        gateway.wait_log("connected to")
        assert all(map(probe, ("startup", "liveness", "readiness", "docker")))
        broker.kill()
        gateway.wait_log("lost the broker")
        assert probe("startup")
        assert probe("liveness") and probe("docker"), "a restart would not bring the broker back"
        assert not probe("readiness")
        gateway.kill()
        assert not probe("liveness") and not probe("docker")
