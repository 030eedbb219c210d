from __future__ import annotations

from pathlib import Path

from gateway.configuration.load_config import load_configuration
from gateway.runtime.open_outbox import open_outbox
from tests.support.configuration import trial, write_conf


def test_an_outbox_in_memory_has_no_writer(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1883, interface=trial("Recorder"), outbox={"store": "memory"})
    outbox, writer = open_outbox(load_configuration(conf, {}).outbox)
    assert (outbox.is_durable, writer) == (False, None)


def test_an_outbox_on_disk_has_a_writer_for_its_file(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1883, interface=trial("Recorder"), outbox={"file": "gw.outbox"})
    outbox, writer = open_outbox(load_configuration(conf, {}).outbox)
    assert outbox.is_durable
    assert writer is not None
    writer.start()
    assert writer.close() == 0
    assert (tmp_path / "gw.outbox").exists()
