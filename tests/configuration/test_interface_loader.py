from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.configuration.interface_loader import BUILT_IN, ENTRY_POINTS, CodeNotFoundError, find_hook, find_interface
from gateway.errors import GatewayError

ONE = "class Door:\n    def loop(self): ...\n"
OTHER = "class Window:\n    def loop_start(self): ...\n    def loop_stop(self): ...\n"


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(type_name: str, folder: Path) -> tuple[str, str]:
    """Return the finding about a type that cannot be loaded, and the remedy."""
    with pytest.raises(CodeNotFoundError) as caught:
        find_interface(type_name, folder)
    assert isinstance(caught.value, GatewayError)
    assert str(caught.value) == caught.value.what
    return caught.value.what, caught.value.remedy


# --- by name


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_interface_is_found_by_its_name(name: str, tmp_path: Path) -> None:
    cls = find_interface(name, tmp_path)
    assert f"{cls.__module__}:{cls.__name__}".startswith(BUILT_IN[name].partition(":")[0])
    assert cls.__name__ == BUILT_IN[name].partition(":")[2]


def test_an_unknown_name_is_answered_with_what_is_near_or_known(tmp_path: Path) -> None:
    assert refusal("seriall", tmp_path) == ("no interface is called 'seriall'", "did you mean 'serial'?")
    assert refusal("x", tmp_path) == ("no interface is called 'x'", "known here: dummy, serial")


# --- by file


def test_the_one_interface_of_a_file_is_found_and_helpers_are_not_in_the_way(tmp_path: Path) -> None:
    text = "from gateway.interface import DeviceInterface\nclass Helper: ...\nclass Door(DeviceInterface): ...\n"
    path = write(tmp_path, text)
    assert find_interface("mine.py", tmp_path).__name__ == "Door"
    assert find_interface(str(path), Path("/nowhere")).__name__ == "Door"


def test_an_interface_with_loop_start_needs_no_base_class(tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    assert find_interface("mine.py", tmp_path).__name__ == "Window"


def test_a_path_from_home_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, ONE)
    assert find_interface("~/mine.py", Path("/nowhere")).__name__ == "Door"
    assert refusal("~no-such-user/mine.py", tmp_path)[0] == f"no such file: {tmp_path}/~no-such-user/mine.py"


def test_of_several_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, ONE + OTHER)
    assert find_interface("mine.py:Window", tmp_path).__name__ == "Window"
    assert refusal("mine.py", tmp_path) == (
        f"{path} has 2 classes with loop() or loop_start()",
        "name one: FILE.py:Door",
    )
    assert refusal("mine.py:Windo", tmp_path) == (
        f"{path} has no interface class 'Windo'",
        "did you mean 'Window'?",
    )


def test_a_file_without_an_interface_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "class Door: ...\n")
    assert refusal("mine.py", tmp_path) == (
        f"{path} has no class with loop() or loop_start()",
        "derive a class from gateway.api.DeviceInterface, or name another file",
    )


def test_a_class_can_use_dataclasses_which_look_their_module_up(tmp_path: Path) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    write(tmp_path, f"{head}@dataclass\nclass Frame:\n    number: int\n{ONE}")
    assert find_interface("mine.py", tmp_path).__name__ == "Door"


def test_a_file_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert refusal("mine.py", tmp_path) == (
        f"no such file: {tmp_path}/mine.py",
        "check the path; a relative path starts at the folder of this file",
    )
    assert refusal("a\0b.py", tmp_path)[0] == f"no such file: {tmp_path}/a\0b.py"


def test_the_line_is_that_of_the_file_even_if_the_gateway_refuses_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ("from gateway.api import DeviceInterface, command, integer", "class Pump(DeviceInterface):",
             "    @command('SPEED', rpm=integer())", "    def set_speed(self, speed): ...")  # fmt: skip
    write(tmp_path, "\n".join(lines))
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        what, _ = refusal("mine.py", folder)
        assert "the arguments of the command are rpm, and the parameters of set_speed() are speed" in what
        assert what.endswith(f"({tmp_path}/mine.py:3)")


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("x = 1\ndef loop(:\n", "SyntaxError: invalid syntax", 2),
        ("\nimport no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'", 2),
        ("import json\n\njson.loads('{')\n", "JSONDecodeError: Expecting property name enclosed in double quotes", 3),
        ("raise ValueError('bad')\n", "ValueError: bad", 1),
        ("def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError: division by zero", 2),
        ("import sys\nsys.exit('no')\n", "SystemExit: no", 2),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_in_which_line(
    text: str, what: str, line: int, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    reported, remedy = refusal("mine.py", tmp_path)
    assert reported.startswith(f"{path} cannot be imported: {what}")
    assert reported.endswith(f"({path}:{line})")
    assert remedy == "fix the file"


@pytest.mark.parametrize(
    "text",
    [
        "print 'x'\n",
        "exec 'x'\n",
        pytest.param(
            "try:\n    pass\nexcept OSError, err:\n    pass\n",
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="two exceptions since 3.14 (PEP 758)"),
        ),
        "mode = 0755\n",
        "if 1:\n        x = 1\n\ty = 2\n",
        "import Queue\n",
        "import urllib2\n",
    ],
)
def test_python_2_is_called_so(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    reported, remedy = refusal("mine.py", tmp_path)
    assert "cannot be imported" in reported
    assert remedy == "it is written for Python 2: convert it to Python 3, see docs/migration.md"


def test_the_first_name_of_the_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "import mqtt_gateways.gateway.mqtt_map as mqtt_map\n")
    remedy = "this is the first name of mqttgateway: write mqttgateway instead, and keep the rest of the name"
    assert refusal("mine.py", tmp_path) == (
        f"{path} cannot be imported: ModuleNotFoundError: No module named 'mqtt_gateways' ({path}:1)",
        remedy,
    )
    write(tmp_path, "import mqtt_gateways.utils.app_properties\n", "module_of_0_x.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert refusal("module_of_0_x:Door", tmp_path)[1] == remedy


def test_bytes_that_are_no_python_say_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"x = '\xff'\n\0")
    reported, _ = refusal("mine.py", tmp_path)
    assert reported.startswith(f"{tmp_path}/mine.py cannot be imported: ")


def test_a_class_of_a_version_before_3_0_with_a_fourth_argument_is_reported(tmp_path: Path) -> None:
    write(
        tmp_path,
        "import mqttgateway\nclass Door:\n    def __init__(self, a, b, c, path): ...\n    def loop(self): ...\n",
    )
    what = "Door cannot be constructed with three arguments: missing a required argument: 'path'"
    assert refusal("mine.py", tmp_path) == (what, "define __init__(self, params, msglist_in, msglist_out)")


def test_after_an_error_the_fixed_file_is_accepted(tmp_path: Path) -> None:
    write(tmp_path, "1 / 0\n")
    refusal("mine.py", tmp_path)
    write(tmp_path, ONE + "# fixed\n")
    assert find_interface("mine.py", tmp_path).__name__ == "Door"


def test_two_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path, ONE)
    write(tmp_path / "other", OTHER)
    assert find_interface("mine.py", tmp_path).__name__ == "Door"
    assert find_interface("other/mine.py", tmp_path).__name__ == "Window"


# --- by entry point


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that registers several interfaces, not all of them valid."""
    info = tmp_path / "heatpump-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heatpump\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\nheatpump = heatpump_mqtt:Door\nbroken = heatpump_broken:Door\n"
        "absent = heatpump_mqtt:Absent\nfunction = heatpump_mqtt:make\nnot-one = heatpump_mqtt:Helper\n"
        "dummy = heatpump_mqtt:Door\n"
    )
    write(tmp_path, f"{ONE}def make(): ...\nclass Helper: ...\n", "heatpump_mqtt.py")
    write(tmp_path, "1 / 0\n", "heatpump_broken.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_interface_that_a_package_has_registered_is_found_by_its_name(package: Path) -> None:
    cls = find_interface("heatpump", package)
    assert (cls.__module__, cls.__name__) == ("heatpump_mqtt", "Door")


def test_a_registered_name_is_among_the_known_ones_and_cannot_take_a_built_in_place(package: Path) -> None:
    assert refusal("heatpumb", package)[1] == "did you mean 'heatpump'?"
    assert find_interface("dummy", package).__module__ == "interfaces.dummy_interface"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "broken",
            "heatpump_broken:Door cannot be imported: ZeroDivisionError: division by zero (%s/heatpump_broken.py:1)",
        ),
        ("function", "heatpump_mqtt:make is not a class with loop() or loop_start()"),
        ("not-one", "heatpump_mqtt:Helper is not a class with loop() or loop_start()"),
    ],
)
def test_a_registered_interface_that_cannot_be_used_says_why(name: str, what: str, package: Path) -> None:
    assert refusal(name, package) == (what.replace("%s", str(package)), "fix or reinstall its package")


def test_a_registered_interface_with_an_import_that_has_moved_gets_the_new_one_as_remedy(package: Path) -> None:
    write(package, "from gateway.mailbox import MsgList\n", "heatpump_broken.py")
    assert refusal("broken", package)[1] == "import MsgList or Wakeup from gateway.api"


def test_a_registered_class_that_is_not_there_says_so(package: Path) -> None:
    reported, _ = refusal("absent", package)
    assert reported.startswith(
        "heatpump_mqtt:Absent cannot be imported: AttributeError: module 'heatpump_mqtt' has no attribute 'Absent'"
    )


# --- hooks (the finding for each mistake is tested with the configuration that contains it)


def test_a_hook_of_a_package_that_is_broken_says_where(package: Path) -> None:
    with pytest.raises(CodeNotFoundError) as caught:
        find_hook("heatpump_broken:one", package, {})
    assert (caught.value.what, caught.value.remedy) == (
        f"heatpump_broken cannot be imported: ZeroDivisionError: division by zero ({package}/heatpump_broken.py:1)",
        "fix or reinstall its package",
    )


def test_a_package_that_lacks_what_it_imports_is_not_said_to_be_missing_itself(package: Path) -> None:
    write(package, "import no_such_thing\n", "heatpump_lacking.py")
    with pytest.raises(CodeNotFoundError, match=r"^heatpump_lacking cannot be imported: ModuleNotFoundError"):
        find_hook("heatpump_lacking:one", package, {})


def test_a_hook_may_be_anything_that_takes_a_message_but_a_class(tmp_path: Path) -> None:
    write(tmp_path, "class Hook:\n    def __call__(self, msg):\n        return msg\nhook = Hook()\n")
    assert find_hook("mine.py:hook", tmp_path, {})("a message") == "a message"
    with pytest.raises(CodeNotFoundError):
        find_hook("mine.py:Hook", tmp_path, {})


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("from gateway.mailbox import MsgList", "import MsgList or Wakeup from gateway.api"),
        ("import gateway.outlet", "import Outlet from gateway.api"),
        ("from gateway.receipt import DeliveryError", "import DeliveryError or Receipt from gateway.api"),
        ("from gateway.listeners import Addresses", "import Addresses from gateway.api"),
        ("from gateway.interface import MsgLists", "import from gateway.api only; it has Addresses, Argument, "),
        ("from gateway.errors import Receipt", "import Receipt from gateway.api"),
        ("import gateway.no_such_module", "import from gateway.api only; it has Addresses, Argument, "),
    ],
)
def test_an_import_that_earlier_documentation_named_gets_the_new_one_as_remedy(
    line: str, remedy: str, tmp_path: Path
) -> None:
    write(tmp_path, f"{line}\n{ONE}")
    what, advice = refusal("mine.py", tmp_path)
    assert "cannot be imported: " in what
    assert advice.startswith(remedy)
