"""What is known of a running gateway is gathered from its parts, without its secrets."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

from gateway.configuration.load_config import load_configuration
from gateway.runtime.gather_health import process
from gateway.runtime.health import assess
from gateway.start_gateway import Gateway


def test_a_secret_in_a_reason_is_masked(tmp_path: Path) -> None:
    device = {"id": "lamp", "address": {"device": "lamp"}, "points": {"t": {"from": "T.t", "type": "number"}}}
    conf = tmp_path / "gw.conf"
    conf.write_text(json.dumps({
        "root": "home", "topics": [], "outbox": {"store": "memory"}, "mqtt": {"username": "u", "password": "hidden"},
        "interfaces": {"one": {"type": "dummy", "devices": [device]}, "two": {"type": "dummy"}},
    }))  # fmt: skip
    gateway = Gateway(load_configuration(conf, {}))
    with closing(gateway):
        for host in gateway.hosts.values():
            host.outlet.set_available(True)
        assert gateway.health().interfaces["one"].is_available is True
        gateway.hosts["two"].outlet.set_available(False, "cannot open ws://u:hidden@host")
        gateway.hosts["one"].devices.lose_all("it answered hidden")
        health = gateway.health()
    assert [each.reason for each in health.devices["one"]] == ["it answered ***"]
    assert health.interfaces["two"].reason == "cannot open ws://u:***@host"
    assert "hidden" not in str(health) and "hidden" not in str(assess(health))
    assert len(health.configuration_hash) == 12 and health.pid == os.getpid()


def test_the_hash_is_that_of_the_file_and_its_map_but_for_secrets(tmp_path: Path) -> None:
    def hash_of(**options: object) -> str:
        conf = tmp_path / "gw.conf"
        conf.write_text(json.dumps({"map": "map.json", "interface": {"type": "dummy"}, **options}))
        return load_configuration(conf, {}).hash

    map_file = tmp_path / "map.json"
    map_file.write_text('{"root": "home", "topics": []}')
    before = hash_of()
    assert hash_of() == before != hash_of(name="other")
    one, other = (hash_of(mqtt={"username": "u", "password": password}) for password in ("hidden", "secret"))
    assert one == other != before, "a short password could be guessed from it"
    map_file.write_text('{"root": "home", "topics": [] }')
    assert hash_of() != before


def test_what_the_process_uses_is_known() -> None:
    used = process()
    assert used.memory > 5_000_000 and used.threads >= 1 and used.descriptors >= 3
    with Path(os.devnull).open() as _:
        assert process().descriptors == used.descriptors + 1


def test_an_outbox_that_is_no_longer_written_is_named(tmp_path: Path) -> None:
    conf = tmp_path / "gw.conf"
    conf.write_text(json.dumps({"root": "home", "topics": [], "outbox": {"file": str(tmp_path / "gw.outbox")},
                                "interface": {"type": "dummy"}}))  # fmt: skip
    gateway = Gateway(load_configuration(conf, {}))
    with closing(gateway):
        assert gateway.writer is not None
        gateway.writer.start()
        assert gateway.health().outbox.hang == ""
        gateway.writer.close()
        assert "the outbox hangs: its thread has ended" in [each.what for each in assess(gateway.health()).problems]
