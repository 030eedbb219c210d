"""Who else may change or read the files of a configuration. Strangers are made by chown, so most of it needs root."""

from __future__ import annotations

import grp
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import EXIT_CONFIGURATION, EXIT_OK, main
from gateway.configuration.file_access import (
    group_that_may_change,
    runs_for_all,
    who_may_change,
    who_may_change_code,
    who_may_read,
)
from gateway.configuration.load_config import load_configuration
from gateway.errors import ConfigurationError
from tests.support.certificates import Authority
from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess

STRANGER = 65534

_INTERFACE = """
import helper

class Quiet:
    def __init__(self, params, msglist_in, msglist_out):
        pass

    def loop(self):
        pass
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all users may enter, as /etc; the folders of pytest are private to their owner."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def code(folder: Path) -> Path:
    for name, text in (("quiet.py", _INTERFACE), ("helper.py", ""), ("hook.py", "def same(msg):\n    return msg\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    return folder / "quiet.py"


def written(folder: Path, **options: Any) -> Path:
    conf = write_conf(folder, 1, **{"interface": {"type": "dummy"}, "outbox": {"store": "memory"}, **options})
    conf.chmod(0o644)
    return conf


def warnings(conf: Path) -> tuple[str, ...]:
    return load_configuration(conf, {}).warnings


# --- one file


def test_a_file_of_the_running_user_can_be_changed_by_no_other_user(folder: Path) -> None:
    file = folder / "file"
    assert who_may_change(file) is None, "it is not there"
    file.write_text("")
    for mode in (0o600, 0o644, 0o664, 0o755):
        file.chmod(mode)
        assert who_may_change(file) is None


def test_what_all_may_write_to_is_named_with_the_remedy(folder: Path) -> None:
    file = folder / "file"
    file.write_text("")
    file.chmod(0o646)
    actual = who_may_change(file)
    assert actual == (file, "it can be changed by every user", "run chmod o-w on the file")
    folder.chmod(0o750)
    assert who_may_change(file) is None, "no other user can reach it"
    file.chmod(0o600)
    folder.chmod(0o777)
    actual = who_may_change(file)
    assert actual is not None
    assert actual.what == f"the folder {folder}, and so file, can be changed by every user"
    folder.chmod(0o1777)
    assert who_may_change(file) is None, "sticky: each user can change only their own files"


@pytest.mark.root
def test_what_belongs_to_a_stranger_is_named(folder: Path) -> None:
    (folder / "deep").mkdir()
    file, link = folder / "deep" / "file", folder / "link"
    file.write_text("")
    link.symlink_to(file)
    for changed, named in ((file, "it"), (folder / "deep", f"the folder {folder / 'deep'}, and so link,")):
        os.chown(changed, STRANGER, STRANGER)
        actual = who_may_change(link)
        assert actual is not None
        assert actual.what.startswith(f"{named} belongs to the user nobody (id {STRANGER}), who is neither root nor")
        assert f"or start the program as its user (in a container: --user {STRANGER})" in actual.remedy
        os.chown(changed, 0, 0)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    actual = who_may_change(link)
    assert actual is not None
    assert "belongs to the user nobody" in actual.what
    os.chown(link, 4_000_000, 0, follow_symlinks=False)
    actual = who_may_change(link)
    assert actual is not None
    assert "belongs to the user with id 4000000" in actual.what


@pytest.mark.root
def test_a_group_is_named_but_that_of_the_owner_alone(folder: Path) -> None:
    file = folder / "file"
    file.write_text("")
    file.chmod(0o664)
    assert group_that_may_change(file) is None
    os.chown(file, 0, 65534)
    actual = group_that_may_change(file)
    assert actual is not None
    assert actual.what == "it can be changed by the group nogroup"
    os.chown(file, 0, 4_000_000)
    assert "with id 4000000" in str(group_that_may_change(file))


def test_who_may_read_depends_on_the_way_too(folder: Path) -> None:
    file = folder / "file"
    file.write_text("")
    for mode, folder_mode, is_read in ((0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False)):
        file.chmod(mode)
        folder.chmod(folder_mode)
        assert (who_may_read(file) is not None) is is_read


@pytest.mark.root
def test_a_program_that_reads_as_all_others_do_keeps_a_way_to_read(folder: Path) -> None:
    """A service reads a file of root: chmod alone would keep it from its own configuration."""
    file = folder / "file"
    file.write_text("")
    file.chmod(0o644)
    for group, remedy in (
        (4_000_000, f"run chgrp {grp.getgrgid(STRANGER).gr_name} on it, "),
        (STRANGER, "run chmod o-r on it"),
    ):
        os.chown(file, 0, group)
        os.setegid(STRANGER)
        os.seteuid(STRANGER)
        try:
            access = who_may_read(file)
        finally:
            os.seteuid(0)
            os.setegid(0)
        assert access is not None and access.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["helper.py", "__pycache__", "__pycache__/helper.cpython-311.pyc", "fast.so"])
def test_modules_beside_code_count_as_code(name: str, code: Path) -> None:
    beside = code.parent / name
    if beside.suffix:
        beside.parent.mkdir(exist_ok=True)
        beside.write_text("")
    else:
        beside.mkdir()
    beside.chmod(0o755)
    assert who_may_change_code(code) is None
    beside.chmod(0o757)
    actual = who_may_change_code(code)
    assert actual is not None
    assert actual.path == beside
    (code.parent / "notes.txt").write_text("")
    (code.parent / "notes.txt").chmod(0o666)
    beside.chmod(0o755)
    assert who_may_change_code(code) is None


def test_a_service_is_the_process_that_systemd_has_started() -> None:
    is_root = os.geteuid() == 0
    assert runs_for_all({}) is is_root
    assert runs_for_all({"SYSTEMD_EXEC_PID": str(os.getpid())})
    assert runs_for_all({"SYSTEMD_EXEC_PID": str(os.getppid())}) is is_root


# --- a configuration


def test_a_configuration_that_others_may_change_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own_map.json").write_text('{"root": "home", "topics": []}')
    (folder / "own_map.json").chmod(0o644)
    conf = written(folder, map="own_map.json")
    assert warnings(conf) == ()
    for path in (conf, folder / "own_map.json"):
        path.chmod(0o646)
        assert warnings(conf) == (f"{path}: it can be changed by every user: run chmod o-w on the file",)
        path.chmod(0o644)
    conf.chmod(0o646)
    assert main(["check", "--conf", str(conf)]) == EXIT_OK
    reported = capsys.readouterr().out
    assert reported.startswith(f"{conf}: OK, with 1 warning\n")
    assert f"  warning       {conf}: it can be changed by every user: run chmod o-w on the file\n" in reported


@pytest.mark.parametrize(
    ("options", "is_warned_of"),
    [
        ({"mqtt": {"username": "me", "password": "hunter2"}}, True),
        ({"mqtt": {"username": "me", "password": "${PW}"}}, False),
        ({"mqtt": {"username": "me", "password_file": "pw"}}, False),
        ({"interface": {"type": "quiet.py", "api_token": "hunter2"}}, True),
        ({"interfaces": {"a": {"type": "quiet.py", "password": "hunter2"}}}, True),
        ({"interfaces": {"a": {"type": "quiet.py", "password": "${PW}", "passenger": "me"}}}, False),
        ({}, False),
    ],
)
def test_a_secret_in_a_configuration_that_all_may_read(options: dict[str, Any], is_warned_of: bool, code: Path) -> None:
    folder = code.parent
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o600)
    mqtt = options.pop("mqtt", {})
    if "interfaces" not in options:
        options.setdefault("interface", {"type": "dummy"})
    conf = write_conf(folder, 1, mqtt=mqtt, outbox={"store": "memory"}, **options)
    conf.chmod(0o644)
    expected = (f"{conf}: it contains a secret, and every user can read it: run chmod o-r on it",)
    assert load_configuration(conf, {"PW": "x"}).warnings == (expected if is_warned_of else ())
    conf.chmod(0o640)
    assert load_configuration(conf, {"PW": "x"}).warnings == ()


def test_a_file_of_a_secret_that_all_may_read(folder: Path) -> None:
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o644)
    conf = written(folder, mqtt={"username": "me", "password_file": "pw"})
    assert warnings(conf) == (
        f"{folder / 'pw'}: it contains a secret, and every user can read it: run chmod o-r on it",
    )


def test_a_key_of_an_interface_that_all_may_read(folder: Path) -> None:
    certificate, key = Authority(folder).sign("client")
    key.chmod(0o644)
    tls = {"certificate_file": certificate.name, "key_file": key.name}
    conf = written(folder, interface={"type": "serial", "port": "ssl://boiler.home:7002", "tls": tls})
    assert warnings(conf) == (f"{key}: it contains a secret, and every user can read it: run chmod o-r on it",)


def test_a_group_is_only_a_note(folder: Path) -> None:
    conf = written(folder)
    conf.chmod(0o664)
    os.chown(conf, os.geteuid(), 65534) if os.geteuid() == 0 else None
    configuration = load_configuration(conf, {})
    assert configuration.warnings == ()
    if os.geteuid() == 0:
        assert configuration.notes == (
            f"{conf}: it can be changed by the group nogroup: run chmod g-w on it if that is not intended",
        )


# --- code


@pytest.mark.root
@pytest.mark.parametrize("changed", ["quiet.py", "helper.py", "hook.py"])
def test_root_does_not_run_code_that_others_may_change(
    changed: str, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "helper", raising=False)  # of another test
    folder = code.parent
    marker = folder / "was-run"
    text = (folder / changed).read_text()
    (folder / changed).write_text(f"__import__('pathlib').Path({str(marker)!r}).touch()\n{text}")
    (folder / changed).chmod(0o666)
    conf = written(folder, interface={"type": "quiet.py"}, filters={"in": [{"hook": "hook.py:same"}]})
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(conf, {})
    assert f"{folder / changed} is not run: it can be changed by every user: run chmod o-w on the file" in str(
        refused.value
    )
    assert not marker.exists(), "none of it has run"
    assert main(["check", "--conf", str(conf)]) == EXIT_CONFIGURATION
    (folder / changed).chmod(0o644)
    assert load_configuration(conf, {}).warnings == ()
    assert marker.exists()


_AS_STRANGER = """
import grp, os, pwd, sys
from gateway.cli.main import main
sys.stdout = open(os.devnull, "w")
main(["check", "--conf", {conf!r}])  # imports all that a stranger may not even read
sys.stdout.close()
sys.stdout = sys.__stdout__
os.chmod({code!r}, 0o666)
os.setgroups([])
os.setresgid({uid}, {uid}, {uid})
os.setresuid({uid}, {uid}, {uid})
sys.exit(main(["check", "--conf", {conf!r}]))
"""


@pytest.mark.root
@pytest.mark.parametrize("is_service", [False, True])
def test_for_a_user_it_is_a_warning_and_for_a_service_an_error(is_service: bool, code: Path) -> None:
    conf = written(code.parent, interface={"type": "quiet.py"})
    script = _AS_STRANGER.format(uid=1234, conf=str(conf), code=str(code))
    if is_service:
        script = f"import os; os.environ['SYSTEMD_EXEC_PID'] = str(os.getpid())\n{script}"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd="/", env={"HOME": "/"}, capture_output=True, text=True, check=False
    )
    if is_service:
        assert (ran.returncode, ran.stdout) == (EXIT_CONFIGURATION, "")
        assert "quiet.py is not run: it can be changed by every user" in ran.stderr
    else:
        assert (ran.returncode, ran.stderr) == (EXIT_OK, "")
        assert f"  warning       {code}: it can be changed by every user: run chmod o-w on the file\n" in ran.stdout


def test_a_gateway_says_it_at_its_start_and_at_a_reload(folder: Path) -> None:
    conf = written(folder)
    conf.chmod(0o646)
    with GatewayProcess(conf) as gateway:
        line = f"WARNING mqttgateway.runtime: {conf}: it can be changed by every user: run chmod o-w on the file"
        gateway.wait_log(line)
        for mode in (0o644, 0o646):
            conf.chmod(mode)
            before = gateway.log.count(": reloaded ")
            gateway.process.send_signal(signal.SIGHUP)
            gateway.wait_log(": reloaded ", before + 1)
        gateway.wait_log(line, 2)
        gateway.kill()


@pytest.mark.parametrize("option", ["outbox", "log"])
def test_files_that_it_writes_and_that_others_may_change_are_found(tmp_path: Path, option: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    file = shared / "gw.file"
    options: dict[str, Any] = {option: {"file": str(file)}}
    conf = write_conf(tmp_path, 1, interface={"type": "dummy"}, **options)
    assert warnings(conf) == ()
    file.touch()
    file.chmod(0o666)
    assert warnings(conf) == (f"{file}: others may write to this file: chmod go-w it",)
