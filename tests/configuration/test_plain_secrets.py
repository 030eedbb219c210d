from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.document import Document
from gateway.configuration.load_config import load_configuration
from gateway.configuration.plain_secrets import plain_secrets
from gateway.configuration.yaml_reader import load_yaml

CODE = """\
from gateway.api import DeviceInterface


class MeterInterface(DeviceInterface):
    SCHEMA = {
        "properties": {
            "url": {"type": "string"},
            "password": {"type": "string"},
            "code": {"type": "string", "writeOnly": True},
            "codes": {"type": "array", "items": {"type": "string"}, "writeOnly": True},
            "key_file": {"type": "string", "format": "file", "writeOnly": True},
            "place": {"type": "string"},
        }
    }
"""
CONF = """\
root: home
topics: []
interface:
  type: meter_interface.py
  url: 'http://me:url%40secret@meter/'
  password: named-secret
  code: marked-secret
  codes: [first-secret, second-secret]
  key_file: meter.key
  place: cellar
"""


def test_the_secrets_of_an_own_interface_are_known(tmp_path: Path) -> None:
    """Only variables were: the page and the log showed the others, for example in the reason of a failure."""
    (tmp_path / "meter_interface.py").write_text(CODE)
    conf = tmp_path / "gw.conf"
    conf.touch(mode=0o600)
    conf.write_text(CONF)
    assert set(load_configuration(conf, {}).secrets) == {
        "url%40secret", "url@secret", "named-secret", "marked-secret", "first-secret", "second-secret"
    }  # fmt: skip


def document(text: str) -> Document:
    return load_yaml(text, "gw.conf", {"CODE": "x"})


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("interfaces: {a: {password: one}, b: {nested: [{at: 'ftp://u:two@h'}]}}", ["one", "two"]),
        ("mqtt: {password: one}\nweb: {token: two}", ["one", "two"]),
        ("interface: {password: '${CODE}', user_password: '', passwords: a, token_file: b}", []),
        ("interface: {url: 'http://meter:80/a@b', other: 'http://u@h', third: 'a:b@c'}", []),
        ("interface: [a]\ninterfaces: 7\nmqtt: x", []),
        ("- a", []),
    ],
)
def test_what_stands_there_as_it_is(text: str, secrets: list[str]) -> None:
    assert [secret for _, secret in plain_secrets(document(text))] == secrets
