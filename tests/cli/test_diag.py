"""`mqttgateway diag`: what is in the archive, and that no secret is."""

from __future__ import annotations

import base64
import json
import os
import random
import stat
import string
import urllib.parse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli.main import main
from gateway.errors import ConfigurationError
from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess

SHIPPED_MAP = {"root": "home", "topics": ["home/#"]}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url(text: str) -> str:
    return urllib.parse.quote(text, safe="")


FORMS: tuple[Callable[[str], str], ...] = (str, repr, json.dumps, b64, url, lambda text: text.encode().hex(" "))


class Planted(NamedTuple):
    """The texts of a machine in which secrets are, and the secrets."""

    conf: Path
    secrets: dict[str, str]


PLACES = """
    password comment flow quoted json_quoted single_quoted block list nested broker_url url_user query bearer basic
    base64_value encoded_url device_word opening api_key camel_case pin psk passphrase hex_key number_like map_token
    map_url map_header map_nested env_used env_file env_process env_secret_name env_quoted password_file second_file
    credential set_credential unit_option unit_equals unit_environment unit_quoted unit_url exec_p journal_option
    journal_url journal_json journal_jwt log_plain log_base64 log_url log_hex log_repr log_assignment pem
"""
"""Where secrets are planted."""


def secrets_of(*places: str) -> dict[str, str]:
    """Return a secret for each place: no two look alike, and all have characters that are written in many ways."""
    chooser = random.Random(20)
    letters = string.ascii_letters + string.digits
    return {
        place: "".join(chooser.choices(letters, k=7))
        + chooser.choice("!%+=&é")
        + "".join(chooser.choices(letters, k=6))
        for place in places
    }


def program(folder: Path, name: str, output: str) -> None:
    """Write a program that prints `output`."""
    (folder / f"{name}.out").write_text(output)
    (folder / name).write_text(f'#!/bin/sh\ncat "{folder / name}.out"\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A configuration with its map, environment, unit and logs, with a secret in every place that one can be in."""
    s = secret = secrets_of(*PLACES.split())
    s["encoded_url"] = f"päss wört/{s['encoded_url']}"
    s["number_like"] = "4711081500"
    s["passphrase"] = f"two words {s['passphrase']}"
    s["bearer"] = "mF_9.B5f-4.1JqM"
    s["query"] = "q8Xk2LmQ77zz"
    s["log_jwt"] = f"eyJ{b64(s['journal_jwt'])[:12]}.{b64('payload-' + s['pin'])[:16]}.c2lnbmF0dXJl"
    conf = tmp_path / "cellar.conf"
    conf.write_text(f"""\
# The old one was password: {s["comment"]}
root: home
topics: ["home/#"]
map: cellar_map.json
mqtt:
  username: gate
  password: {s["password"]}
  tls: {{enabled: false}}
log:
  file: {tmp_path}/cellar.log
unknown_option:
  - {{user: bob, password: {s["flow"]}, port: 1883}}
  - token: "{s["quoted"]}"   # of the cloud
  - "secret": "{s["json_quoted"]}"
  - secret: '{s["single_quoted"]}'
  - client_secret: |
      {s["block"]}
  - tokens:
      - {s["list"]}
      - {{inner: [{{deep: "{s["nested"]}"}}]}}
  - server: mqtt://bob:{s["broker_url"]}@broker.home:1883/x
  - server: https://{s["url_user"]}@api.home/
  - url: https://api.home/v1?token={s["query"]}&from=1
  - header: "Authorization: Bearer {s["bearer"]}"
  - header: "Authorization: Basic {b64("bob:" + s["basic"])}"
  - password: {b64(s["base64_value"])}
  - server: ftp://bob:{url(s["encoded_url"])}@files.home
  - write: "LOGIN {s["device_word"]}"
  - api_key: {s["api_key"]}
  - {{"accessToken": "{s["camel_case"]}"}}
  - pin: {s["pin"]}
  - psk = {s["psk"]}
  - passphrase: {s["passphrase"]}
  - encryption_key: {s["hex_key"].encode().hex()}
  - passcode: {s["number_like"]}
  - password_file: gate.password
  - key_file: second.key
  - location: ${{LOCATION}}
  - code: "${{CODE}}"
  - user: ${{FROM_FILE}}
interface: {{type: dummy}}
""")
    opening = f"interface:\n  password: {s['opening']}\n"
    (tmp_path / "gate.password").write_text(s["password_file"] + "\n")
    (tmp_path / "second.key").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{b64(s['second_file'])}\n{b64(s['pem'])}\n-----END PRIVATE KEY-----\n"
    )
    (tmp_path / "cellar_map.json").write_text(json.dumps({
        **SHIPPED_MAP, "token": s["map_token"], "note": f"see https://u:{url(s['map_url'])}@maps.home",
        "header": f"Authorization: Basic {b64('u:' + s['map_header'])}", "a": [{"b": {"password": s["map_nested"]}}],
    }))  # fmt: skip
    (tmp_path / "cellar.env").write_text(
        f"# of the unit\nFROM_FILE={s['env_file']}\nexport OTHER='{s['env_quoted']}'\nLOCATION={s['env_used']}\n"
    )
    monkeypatch.setenv("CODE", s["env_process"])
    monkeypatch.setenv("CLOUD_API_TOKEN", s["env_secret_name"])
    (tmp_path / "cloud").write_text(s["credential"])
    tools = tmp_path / "tools"
    tools.mkdir()
    unit = f"""\
# /etc/systemd/system/mqttgateway@.service
[Service]
ExecStart=/opt/x --conf %i.conf --token {s["unit_option"]} --password={s["unit_equals"]} --log-level debug
ExecStartPost=/usr/bin/mosquitto_pub -u bob -P {s["exec_p"]} -t x
ExecStartPost=/usr/bin/curl https://bob:{s["unit_url"]}@hooks.home/start
Environment=API_TOKEN={s["unit_environment"]} LANG=C
Environment="MQTT_PASSWORD={s["unit_quoted"]}"
EnvironmentFile=-{tmp_path}/%i.env
LoadCredential=cloud:{tmp_path}/cloud
SetCredential=other:{s["set_credential"]}
"""
    program(tools, "systemctl", unit)
    known = {name: text for name, text in s.items() if not name.startswith(("journal", "log", "opening"))}
    program(tools, "journalctl", "\n".join([
        f"cellar[1]: started with --password {s['journal_option']}",
        f"cellar[1]: GET https://bob:{s['journal_url']}@api.home",
        f"cellar[1]: {json.dumps({'token': s['journal_json']})}",
        f"cellar[1]: refused {s['log_jwt']}", *(f"cellar[1]: the device sent {text!r}" for text in known.values()),
    ]))  # fmt: skip
    program(tools, "systemd-analyze", f"no protection: 9.8 UNSAFE token={s['unit_environment']}\n")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "cellar.log").write_text("\n".join([
        opening, f"INFO mqttgateway: password={s['log_plain']}", f"auth: {b64(s['log_base64'])}",
        f"url http://h/?token={url(s['log_url'])}", f"key: {s['log_hex'].encode().hex()}", f"secret: {s['log_repr']!r}",
        f"API_TOKEN={s['log_assignment']}",
        *(f"got {form(text)} end" for text in known.values() for form in FORMS),
    ]))  # fmt: skip
    return Planted(conf, secret)


def archive_of(folder: Path, *arguments: str) -> dict[str, str]:
    """Run the command; return the files of its archive by their names."""
    output = folder / "report.zip"
    assert main(["diag", *arguments, "-o", str(output)]) == 0
    with zipfile.ZipFile(output) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def forms_of(secret: str) -> set[str]:
    """Return how a secret could be read in the archive."""
    forms = {secret, b64(secret), b64(secret).rstrip("="), url(secret), urllib.parse.quote_plus(secret)}
    forms |= {json.dumps(secret)[1:-1], ascii(secret)[1:-1], secret.encode().hex(), secret.encode().hex(" ")}
    return {*forms, *(base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),)}


def test_no_secret_is_in_the_archive(planted: Planted, tmp_path: Path) -> None:
    files = archive_of(tmp_path, "--conf", str(planted.conf))
    assert len(planted.secrets) >= 50
    shown = {
        f"{place} ({form}) in {name}"
        for place, secret in planted.secrets.items()
        for form in forms_of(secret)
        for name, text in files.items()
        if form in text
    }
    assert not shown
    assert {"configuration/cellar.conf", "configuration/cellar_map.json", "configuration/cellar.env", "check.txt",
            "status.txt", "outbox.txt", "journal.txt", "log/cellar.log", "versions.txt", "ports.txt", "unit.txt",
            "security.txt", "README.txt"} <= set(files)  # fmt: skip


def test_what_is_no_secret_can_still_be_read(planted: Planted, tmp_path: Path) -> None:
    files = archive_of(tmp_path, "--conf", str(planted.conf))
    for text in ("username: gate", "mqtt://bob:***@broker.home:1883/x", "port: 1883", "map: cellar_map.json"):
        assert text in files["configuration/cellar.conf"]
    for text in ("ExecStart=/opt/x --conf %i.conf", "LANG=C", "mosquitto_pub -u bob"):
        assert text in files["unit.txt"]
    assert "FROM_FILE=***" in files["configuration/cellar.env"]
    assert "unknown_option" in files["check.txt"], "the configuration is wrong, and the archive shows where"
    assert "no gateway called 'cellar' runs here" in files["status.txt"]


def test_the_current_folder_is_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "hall.conf"
    conf.write_text("root: home\ntopics: []\ninterface: {type: dummy}\n")
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("OLDPWD", "/dev")
    monkeypatch.setenv("PWD_OF_BROKER", "a-secret")
    files = archive_of(tmp_path, "--conf", str(conf))
    assert str(conf) in files["check.txt"]
    assert "/dev/" in files["ports.txt"] or "0 serial ports" in files["ports.txt"]


def test_the_archive_is_private_replaces_nothing_and_tells_what_is_in_it(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.umask(0)
    try:
        files = archive_of(tmp_path, "--conf", str(planted.conf))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.zip").stat().st_mode) == 0o600
    out = capsys.readouterr().out
    assert all(name in out for name in files if name != "README.txt")
    assert "Look at the files before you send them to anyone." in out
    assert main(["diag", "--conf", str(planted.conf), "-o", str(tmp_path / "report.zip")]) == 1
    assert "report.zip exists already: choose another file with -o FILE" in capsys.readouterr().err
    assert main(["diag", "--conf", str(planted.conf), "-o", str(tmp_path / "none" / "r.zip")]) == 1
    assert "cannot be created: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["mqtt: [broken\npassword: hunter2secret\n", "", "\x00\xff", "[mqtt]\npassword = hunter2secret\n", "- a\n- b"],
)
def test_a_configuration_may_be_broken_in_any_way(text: str, tmp_path: Path) -> None:
    conf = tmp_path / "cellar.conf"
    conf.write_text(text, encoding="latin-1")
    files = archive_of(tmp_path, "--conf", str(conf))
    assert files["check.txt"].startswith("The configuration cannot be used")
    assert not any("hunter2secret" in each for each in files.values())


def test_a_machine_may_have_no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    files = archive_of(tmp_path, "--conf", str(write_conf(tmp_path, 1, interface={"type": "dummy"})))
    assert "there is no systemctl on this machine" in files["unit.txt"]
    assert "interface dummy (DummyInterface)" in files["check.txt"]


def test_a_running_gateway_is_found_by_its_name(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = write_conf(tmp_path, mosquitto.port, "hall", interface={"type": "dummy", "interval": 1})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        gateway.wait_log("control socket")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        files = archive_of(tmp_path, "hall")
        gateway.stop()
    assert json.loads(files["status.json"])["link"]["state"] == "up"
    assert json.loads(files["status.json"])["level"] == "well"
    taps = files["tap.txt"].splitlines()
    assert any("status lighting/-/office/lamp/- LAMP_STATE" in line and "-> acknowledged" in line for line in taps)
    assert taps[-1].endswith("shown, 0 missing that came too fast")
    assert f"configuration/{conf.name}" in files


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diag", "--conf", str(tmp_path / "none.conf")]) == ConfigurationError.exit_code
    assert "no such file" in capsys.readouterr().err


def test_a_log_file_that_is_a_pipe_or_a_loop_of_links_is_not_waited_for(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface={"type": "dummy"}, log={"file": str(tmp_path / "gw.log")})
    os.mkfifo(tmp_path / "gw.log")
    (tmp_path / "gw.log.1").symlink_to(tmp_path / "gw.log.1")
    files = archive_of(tmp_path, "--conf", str(conf))
    assert "is no regular file" in files["log/gw.log"]
    assert "cannot be read" in files["log/gw.log.1"]


def test_a_hostile_log_is_read_in_time(tmp_path: Path) -> None:
    log = tmp_path / "gw.log"
    log.write_bytes(b"\0\xff\xfe" + b"a=" * 60_000 + b"\n" + b"a://" * 20_000 + b"\n" + b"a." * 60_000)
    conf = write_conf(tmp_path, 1, interface={"type": "dummy"}, log={"file": str(log)})
    assert archive_of(tmp_path, "--conf", str(conf))["log/gw.log"].startswith("\0")  # it took half an hour


def test_what_the_page_has_changed_is_in_the_archive_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODE", "4711-0815")
    rules = 'encode: [{match: {action: OPEN}, write: "${CODE}#"}]'
    conf = tmp_path / "gw.conf"
    conf.write_text(f"root: home\ntopics: []\ninterface:\n  type: serial\n  port: /dev/ttyS77\n  {rules}\n")
    (tmp_path / "gw.page.yaml").write_text(f"interface:\n  # once 4711-0815\n  {rules}\n")
    text = archive_of(tmp_path, "--conf", str(conf))["configuration/gw.page.yaml"]
    assert "${CODE}#" in text
    assert "4711-0815" not in text
