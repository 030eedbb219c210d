"""Legacy interfaces, in the style of three generations, with a real broker and alone."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.interface_loader import CodeNotFoundError, find_interface
from gateway.core.inbox import MsgList
from gateway.legacy_interface import AppProperties, adapt, internalMsg
from gateway.legacy_interface import MsgList as OriginalList
from gateway.message import InternalMsg, ReplyTo
from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.desk import Desk
from tests.support.gateway_process import GatewayProcess
from tests.support.strategies import messages
from tests.support.waiting import wait_until

FIXTURES = Path(__file__).parent / "fixtures"
INTERFACES = FIXTURES / "interfaces"
PACKAGE = "mqttgateway"


@pytest.fixture(autouse=True)
def same_path_and_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Legacy modules that a test imports are removed after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(AppProperties, "name", AppProperties.name)
    monkeypatch.setattr(AppProperties, "directories", AppProperties.directories)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


class Bench(Desk):
    """An interface built from its file, and what it has published."""

    def __init__(self, type_name: str, folder: Path = INTERFACES, **params: Any) -> None:
        super().__init__()
        self.interface = find_interface(type_name, folder, "gw")(params, self.inbox, self.outlet)

    def stop(self) -> None:
        self.interface.loop_stop()
        self.inbox.close()


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


ECHO = """
import mqttgateway.mqtt_map
class Echo:
    def __init__(self, params, msglist_in, msglist_out):
        self.params, self.inn, self.out = params, msglist_in, msglist_out
    def loop(self):
        %s
"""


# --- for real


def test_an_interface_of_1_1_runs_both_ways(tmp_path: Path, mosquitto: Mosquitto) -> None:
    write(tmp_path, '{"celsius": 20}', "boiler.json")  # where "." leads to
    thermostat = {"type": str(INTERFACES / "thermostat_interface.py"), "port": 4, "table": "."}
    conf = write_conf(tmp_path, mosquitto.port, "boiler", map=str(FIXTURES / "maps" / "of_early_2018.json"),
                      interface=thermostat)  # fmt: skip
    with mosquitto.client("house/#") as listener, GatewayProcess(conf) as gateway:
        status = listener.wait_topic("house/heating//cellar//boiler/S")
        assert json.loads(status.payload) == {"action": "temperature", "celsius": 20}, "not what it became later"
        again = listener.wait_topic("house/heating///Boiler/boiler/S")
        assert json.loads(again.payload) == {"action": "temperature", "celsius": "20"}
        gateway.wait_log("Application <boiler> uses port <4>.")
        listener.publish("house/heating/boiler2mqtt/cellar//me/C", '{"action": "hotter", "by": "3"}')
        answer = listener.wait_topic("house/heating/boiler2mqtt/cellar//boiler/S")
        assert json.loads(answer.payload) == {"action": "warmer", "by": "3", "response": "OK", "reason": ""}
        listener.publish("house/heating/boiler2mqtt/cellar//me/C", '{"action": "hotter", "by": 30}')
        listener.wait_for(lambda message: b'"reason": "too hot"' in message.payload)
        assert gateway.stop() < 2
        assert "Traceback" not in gateway.log
        assert "read as a map from before June 2018" in gateway.log


@pytest.mark.parametrize("unit", ["kWh", "forgetful"])
def test_an_interface_of_2_0_runs_in_threads_of_its_own(unit: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    meter = {"type": f"{INTERFACES}/meter_interface.py:meterInterface", "unit": unit}
    conf = write_conf(tmp_path, mosquitto.port, interface=meter)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/meter_interface/availability", b"online")
        gateway.wait_log("connected to")
        for number in range(20):
            listener.publish(f"home/Energy//{number}//me/C", "WRITE")
            listener.publish(f"home/Energy//{number}//me/C", "READ")
        for number in range(20):
            answer = listener.wait_topic(f"home/Energy//{number}//gw/S")
            assert json.loads(answer.payload) == {"action": "READ", "energy": {"value": 12.5, "unit": unit}}
        gateway.wait_log("mqttgateway_interface_meter_interface: no such action: WRITE")
        assert gateway.stop() < 2
        if unit == "kWh":
            listener.wait_topic("home/Energy////gw/S", b"LAST")
        assert gateway.log.count("no such action") == 1
        assert "Traceback" not in gateway.log
        assert "WARNING" not in gateway.log and "ERROR" not in gateway.log


def test_an_interface_of_0_5_runs(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface={"type": str(INTERFACES / "shutter_interface.py")})
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/shutter_interface/availability", b"online")
        gateway.wait_log("connected to")
        listener.publish("home///Attic//me/C", "CLOSE")
        answer = listener.wait_topic("home/Shutters//Attic/Shutter/gw/S")
        assert json.loads(answer.payload) == {"action": "SHUT", "told": "CLOSE"}
        gateway.wait_log("Message <type=C - function= - gateway= - location=Attic - device= - sender=me - action=CLOSE")
        assert gateway.stop() < 2


def test_legacy_configuration_map_and_interface_run_together_unchanged(tmp_path: Path, mosquitto: Mosquitto) -> None:
    for path in (*INTERFACES.glob("thermostat_*.py"), FIXTURES / "maps" / "of_early_2018.json"):
        shutil.copy(path, tmp_path)
    write(tmp_path, '{"celsius": 20}', "thermostat2mqtt.json")
    options = f"port: {mosquitto.port}\nmapping: on\nmapfilename: of_early_2018.json\ntimeout: 0.01\n"
    conf = write(tmp_path, f"[INTERFACE]\nport: /dev/tty\ntable: .\n[MQTT]\n{options}[LOG]\nconsolelevel: INFO\n",
                 "thermostat2mqtt.conf")  # fmt: skip
    with mosquitto.client("house/#") as listener, GatewayProcess(conf) as gateway:
        status = listener.wait_topic("house/heating//cellar//thermostat2mqtt/S")
        assert json.loads(status.payload) == {"action": "temperature", "celsius": 20}
        gateway.wait_log("connected to")
        listener.publish("house/heating///Stove/me/C", '{"action": "warmer", "by": "2"}')
        answer = listener.wait_for(lambda message: b"response" in message.payload)
        assert answer.topic == "house/heating///Stove/thermostat2mqtt/S"
        assert json.loads(answer.payload) == {"action": "warmer", "by": "2", "response": "OK", "reason": ""}
        assert gateway.stop() < 2
        assert "Application <thermostat2mqtt> uses port </dev/tty>." in gateway.log + gateway.output


def test_legacy_and_current_interfaces_share_a_gateway(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interfaces = {
        "shutter": {"type": str(INTERFACES / "shutter_interface.py")},
        "shutter2": {"type": str(INTERFACES / "shutter_interface.py")},
        "lamp": {"type": "dummy", "interval": 0.2},
    }
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/lighting//office/lamp/gw/S")
        listener.publish("home///Attic//me/C", "CLOSE")
        wait_until(lambda: sum("Shutters" in topic for topic, _ in listener.pairs()) == 2, what="both shutters")
        assert gateway.stop() < 2


# --- found


def test_the_legacy_modules_are_provided_under_all_names_and_only_when_imported(tmp_path: Path) -> None:
    names = ["mqttgateway.mqtt_map", "mqttgateway.gateway.mqtt_map", "mqttgateway.app_properties",
             "mqttgateway.utils.app_properties", "mqttgateway.app_config", "mqttgateway.throttled_exception",
             "mqttgateway.utils.throttled_exception"]  # fmt: skip
    write(tmp_path, "class Door:\n    def loop(self): ...\n")
    assert find_interface("mine.py", tmp_path).__mro__[1:] == (object,), "one of today is returned as it is"
    assert not [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    for index, name in enumerate(names):
        write(tmp_path, f"import {name}\n{ECHO % 'pass'}", f"mine{index}.py")
        assert hasattr(find_interface(f"mine{index}.py", tmp_path), "legacy_class")
    assert importlib.import_module("mqttgateway").ENCODING == "utf-8"
    assert importlib.import_module(names[0]).internalMsg is internalMsg is importlib.import_module(names[1]).internalMsg
    assert not [finder for finder in sys.meta_path if type(finder).__module__ == "gateway.legacy_interface"]


def test_a_legacy_name_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path, "import mqttgateway.start_gateway\n")
    with pytest.raises(CodeNotFoundError) as caught:
        find_interface("mine.py", tmp_path)
    assert caught.value.what == (
        f"{path} cannot be imported: ModuleNotFoundError: No module named 'mqttgateway.start_gateway' ({path}:1)"
    )


def test_an_installed_earlier_version_is_not_affected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / PACKAGE
    package.mkdir()
    write(package, "", "__init__.py")
    write(package, "internalMsg = 'theirs'\n", "mqtt_map.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = importlib.import_module("mqttgateway.mqtt_map")
    write(tmp_path, "class Door:\n    def loop(self): ...\n", "today.py")
    find_interface("today.py", tmp_path)
    assert sys.modules["mqttgateway.mqtt_map"] is theirs
    write(
        tmp_path,
        "import mqttgateway.mqtt_map\nclass Door:\n    def __init__(self, *_): ...\n    def loop(self): ...\n",
    )
    old = find_interface("mine.py", tmp_path).legacy_class
    assert sys.modules[old.__module__].mqttgateway.mqtt_map.internalMsg is internalMsg


def test_a_file_whose_helper_imports_legacy_modules_is_legacy_at_every_load(tmp_path: Path) -> None:
    write(tmp_path, "import mqttgateway.mqtt_map\n", "helper_of_mine.py")
    write(tmp_path, "import helper_of_mine\nclass Door:\n    def __init__(self, *_): ...\n    def loop(self): ...\n")
    assert hasattr(find_interface("mine.py", tmp_path), "legacy_class")
    assert hasattr(find_interface("mine.py", tmp_path), "legacy_class")
    write(tmp_path, "class Door:  # written again\n    def __init__(self, *_): ...\n    def loop(self): ...\n")
    assert not hasattr(find_interface("mine.py", tmp_path), "legacy_class")


def test_a_module_is_found_by_its_name_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "", "__init__.py")
    folder = tmp_path / "old2mqtt"
    folder.mkdir()
    write(folder, "", "__init__.py")
    write(folder, ECHO % "pass", "old_interface.py")
    write(folder, "import no_such_thing\n", "broken.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):
        cls = find_interface("old2mqtt.old_interface:Echo", Path("/nowhere"))
        assert (cls.__module__, cls.__name__) == ("old2mqtt.old_interface", "Echo")
        assert hasattr(cls, "legacy_class")
    for type_name, what in (
        ("old2mqtt.none:Echo", "there is no module 'old2mqtt.none'"),
        ("no_package.none:Echo", "there is no module 'no_package.none'"),
        ("old2mqtt.old_interface:Ecco", f"{folder}/old_interface.py has no interface class 'Ecco'"),
        ("old2mqtt.broken:Echo", "old2mqtt.broken cannot be imported: ModuleNotFoundError: No module named"),
    ):
        with pytest.raises(CodeNotFoundError) as caught:
            find_interface(type_name, Path("/nowhere"))
        assert caught.value.what.startswith(what)


def test_only_the_loader_imports_the_legacy_module() -> None:
    root = Path(__file__).parents[1]
    users = [path.name for folder in ("gateway", "interfaces") for path in (root / folder).rglob("*.py")
             if "gateway.legacy_interface" in path.read_text()]  # fmt: skip
    assert users == ["interface_loader.py"]


# --- options and properties


def test_options_are_text_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, ECHO % "pass")
    bench = Bench("mine.py", tmp_path, port="/dev/tty", speed=9600, rate=0.5, flag=True, none=None, some=["a", 1])
    assert bench.interface.interface.params == {
        "port": "/dev/tty", "speed": "9600", "rate": "0.5", "flag": "true", "none": "", "some": ["a", 1]
    }  # fmt: skip
    bench.stop()


def test_files_are_found_by_the_legacy_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf, here, beside = (tmp_path / name for name in ("conf", "here", "beside"))
    for folder in (conf, here, beside):
        folder.mkdir()
    monkeypatch.chdir(here)
    write(
        beside,
        "import mqttgateway.app_properties\nclass Door:\n    def __init__(self, *_): ...\n    def loop(self): ...\n",
    )
    find_interface("../beside/mine.py", conf, "boiler")
    app = AppProperties(__file__, app_name="ignored")
    assert app.get_name() == app.name == "boiler"
    (here / "both.json").write_text('{"at": "here"}')
    (conf / "both.json").write_text('{"at": "conf"}')
    (beside / "boiler.json").write_text('{"at": "beside"}')
    assert app.get_jsonfile("both.json") == {"at": "conf"}
    (conf / "both.json").unlink()
    assert app.get_jsonfile("both.json") == {"at": "here"}
    for folder_only in ("", ".", "./", " . "):
        assert app.get_jsonfile(folder_only, extension="json") == {"at": "beside"}
    assert app.get_path("none.map") == str(conf / "none.map")
    assert app.get_path("..", ".json") == str(tmp_path / "boiler.json")
    assert app.get_path("/tmp/x/", ".log", "log") == "/tmp/x/log.log"
    assert app.get_path("a.txt", dft_dirs=["/a", "/b"]) == "/a/a.txt"
    assert app.get_logger("x") is app.getLogger("x") is logging.getLogger("x")
    before = list(logging.getLogger("x").handlers)
    app.register_logger(logging.getLogger("x"))
    assert logging.getLogger("x").handlers == before


# --- messages


@given(messages())
def test_a_message_comes_back_from_an_interface_as_it_went_in(msg: InternalMsg) -> None:
    inbox, sent = MsgList(), list[InternalMsg]()

    class Out:
        def push(self, msg: InternalMsg) -> bool:
            sent.append(msg)
            return True

    class It:
        def __init__(self, params: Any, inn: Any, out: Any) -> None:
            self.inn, self.out = inn, out

        def loop(self) -> None:
            self.out.push(self.inn.get())

    interface = adapt(It)({}, inbox, Out())
    inbox.push(msg)
    interface.loop()
    assert sent == [msg]
    interface.loop_stop()
    inbox.close()


def test_the_outcome_of_a_command_is_published_on_its_response_topic() -> None:
    sent: list[InternalMsg] = []

    class It:
        def __init__(self, _params: object, msgl_in: Any, msgl_out: Any) -> None:
            self.msgl_in, self.msgl_out = msgl_in, msgl_out

        def loop(self) -> None:
            msg = self.msgl_in.pull().copy()
            self.msgl_out.push(msg.reply("OK"))
            msg.arguments = {"on": True}  # the same message again, as a status
            self.msgl_out.push(msg)

    class Out:
        def push(self, msg: InternalMsg) -> bool:
            sent.append(msg)
            return True

    inbox = MsgList()
    interface = adapt(It)({}, inbox, Out())
    asked = ReplyTo("me/reply", b"17")
    command = InternalMsg(True, sender="me", action="ON", arguments={"level": 3}).answered_at(asked)
    inbox.push(command)
    interface.loop()
    assert [msg.reply_to for msg in sent] == [command.request, None]
    assert sent[0].reply_to == asked._replace(sender="me", requested={"level": 3})
    interface.loop_stop()
    inbox.close()


def test_a_legacy_message_behaves_as_before() -> None:
    msg = internalMsg(True, "f", None, "l", "d", "s", "a", {"x": 1})
    assert (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender, msg.action, msg.arguments) == (
        True, "f", "", "l", "d", "s", "a", {"x": 1}
    )  # fmt: skip
    assert (
        str(msg)
        == msg.str()
        == ("type=C - function=f - gateway= - location=l - device=d - sender=s - action=a - arguments={'x': 1}")
    )
    other = msg.copy()
    assert msg.reply("OK", "why") is msg
    assert (msg.iscmd, msg.sender, msg.arguments) == (False, "", {"x": 1, "response": "OK", "reason": "why"})
    assert (other.iscmd, other.sender, other.arguments) == (True, "s", {"x": 1})
    refused = other.copy().reply("ERROR", "why")
    assert refused.arguments == {"response": "ERROR", "reason": "why", "requested": {"x": 1}}
    assert internalMsg(True).reply("ERROR").arguments == {"response": "ERROR", "reason": ""}
    assert (other.argument("x"), other.argument("y"), other.argument("y", 2)) == (1, None, 2)
    other.clear()
    assert vars(other) == vars(internalMsg())
    assert internalMsg().arguments is not internalMsg().arguments


def test_two_interfaces_do_not_share_mutable_messages(tmp_path: Path) -> None:
    write(tmp_path, ECHO % "self.msg = self.inn.pull(); self.msg.arguments['list'].append(1)")
    msg = InternalMsg(arguments={"list": []})
    benches = [Bench("mine.py", tmp_path) for _ in range(2)]
    for bench in benches:
        bench.inbox.push(msg)
        bench.interface.loop()
        assert bench.interface.interface.msg.arguments == {"list": [1]}
        bench.stop()
    assert msg.arguments == {"list": []}


def test_a_change_after_push_has_no_effect(tmp_path: Path) -> None:
    code = "m = mqttgateway.mqtt_map.internalMsg(action='A', arguments={'x': [1]}); self.out.push(m); m.action = 'B'; "
    write(tmp_path, ECHO % (code + "m.arguments['x'].append(2); self.out.put_nowait(m)"))
    bench = Bench("mine.py", tmp_path)
    bench.interface.loop()
    assert [(msg.action, msg.arguments) for msg in bench.collect()] == [("A", {"x": [1]}), ("B", {"x": [1, 2]})]
    bench.stop()


def test_an_object_that_is_not_a_message_is_refused_by_push(tmp_path: Path) -> None:
    write(tmp_path, ECHO % "self.out.push('text')")
    bench = Bench("mine.py", tmp_path)
    with pytest.raises(TypeError, match="the interface pushed 'text', which is not an internalMsg"):
        bench.interface.loop()
    bench.stop()


# --- lists


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Bench]:
    write(tmp_path, ECHO % "pass")
    bench = Bench("mine.py", tmp_path)
    yield bench
    bench.stop()


def test_the_list_of_messages_is_a_queue(echo: Bench) -> None:
    inn = echo.interface.interface.inn
    assert isinstance(inn, OriginalList) and isinstance(inn, queue.Queue)
    assert (inn.qsize(), inn.empty(), inn.full(), inn.pull()) == (0, True, False, None)
    for call in (inn.get_nowait, lambda: inn.get(False), lambda: inn.get(timeout=0.01), lambda: inn.get(True, 0)):
        with pytest.raises(queue.Empty):
            call()
    with pytest.raises(ValueError, match="non-negative"):
        inn.get(timeout=-1)
    assert inn.pull(True, 0.01) is None
    for action in "ABC":
        echo.inbox.push(InternalMsg(action=action))
    assert (inn.qsize(), inn.empty()) == (3, False)
    assert inn.pull().action == "A"
    with pytest.raises(ValueError, match="task_done"):
        inn.task_done()
    assert inn.get().action == "B"
    inn.task_done()
    inn.join()
    inn.put("mine")
    assert [inn.qsize(), inn.get_nowait(), inn.get_nowait().action, inn.empty()] == [2, "mine", "C", True]


def test_the_list_for_messages_is_always_empty(echo: Bench) -> None:
    out = echo.interface.interface.out
    out.push(internalMsg(), False, 5)
    assert isinstance(out, OriginalList)
    assert (out.qsize(), out.empty(), out.full(), out.pull()) == (0, True, False, None)
    out.join()
    assert len(echo.collect()) == 1


def test_a_separate_list_is_a_queue_with_push_and_pull() -> None:
    separate = OriginalList()
    assert separate.pull() is None
    separate.push(1)
    separate.put(2)
    assert (separate.pull(), separate.get(), separate.pull(True, 0.01)) == (1, 2, None)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        with contextlib.suppress(SystemExit):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class OneAtATime(MsgList):
    """A list that counts how often two threads pull simultaneously, and pauses so that they can."""

    clashes = 0
    _is_busy = False

    def pull(self, block: bool = False, timeout: float | None = None) -> InternalMsg | None:
        self.clashes += self._is_busy
        self._is_busy = True
        threading.Event().wait(0.0005)
        msg = super().pull(block, timeout)
        self._is_busy = False
        return msg


def test_threads_that_wait_each_get_a_message_and_end_with_their_interface() -> None:
    class It:
        def __init__(self, params: Any, inn: Any, out: Any) -> None:
            self.inn = inn

    inbox, got = OneAtATime(), queue.Queue[Any]()
    interface = adapt(It)({}, inbox, Desk().outlet)
    inn = interface.interface.inn

    def work() -> None:
        while True:
            got.put(inn.get())

    threads = [in_thread(work) for _ in range(4)]
    for number in range(200):
        inbox.push(InternalMsg(action=str(number)))
    assert {got.get(timeout=5).action for _ in range(200)} == {str(number) for number in range(200)}
    assert inbox.clashes == 0
    interface.loop_stop()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    inbox.close()


def test_an_item_put_by_the_interface_itself_wakes_its_thread_immediately(echo: Bench) -> None:
    inn, got = echo.interface.interface.inn, queue.Queue[Any]()
    threads = [in_thread(lambda: got.put(inn.get()))]
    for _ in range(5):  # each of these would last a second
        inn.put("mine")
        assert got.get(timeout=0.5) == "mine"
        threads.append(in_thread(lambda: got.put(inn.get())))
    inn.put("last")
    for thread in threads:
        thread.join(5)


def test_a_loop_that_waits_for_ever_comes_back_when_the_gateway_stops(tmp_path: Path) -> None:
    write(tmp_path, ECHO % "self.got = self.inn.pull(block=True)")
    done = threading.Event()
    benches: list[Bench] = []

    def work() -> None:
        benches.append(Bench("mine.py", tmp_path))
        benches[0].interface.loop()
        done.set()

    thread = in_thread(work)
    wait_until(lambda: benches, what="the interface to be built")

    def is_back() -> bool:
        benches[0].inbox.wake()
        return done.is_set()

    wait_until(is_back, what="the loop to return")
    assert benches[0].interface.interface.got is None
    thread.join(5)
    benches[0].stop()


def test_an_interface_that_fails_while_it_is_built_leaves_no_thread_waiting(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    class It:
        def __init__(self, params: Any, inn: Any, out: Any) -> None:
            threads.append(in_thread(inn.get))
            raise OSError("no door")

    inbox = MsgList()
    with pytest.raises(OSError, match="no door"):
        adapt(It)({}, inbox, Desk().outlet)
    threads[0].join(5)
    assert not threads[0].is_alive()
    inbox.close()


@given(st.lists(st.sampled_from(["push", "put", "pull", "get"]), max_size=30))
def test_items_of_the_interface_and_messages_are_returned_once_each_in_order(steps: list[str]) -> None:
    class It:
        def __init__(self, params: Any, inn: Any, out: Any) -> None:
            self.inn = inn

        def loop(self) -> None: ...

    inbox = MsgList()
    interface = adapt(It)({}, inbox, Desk().outlet)
    inn, theirs, own_items, got = interface.interface.inn, list[str](), list[str](), list[str]()
    for number, step in enumerate(steps):
        if step == "push":
            inbox.push(InternalMsg(action=str(number)))
            theirs.append(str(number))
        elif step == "put":
            inn.put(str(number))
            own_items.append(str(number))
        else:
            item = inn.pull() if step == "pull" else inn.get(False) if not inn.empty() else None
            if item is not None:
                got.append(item if isinstance(item, str) else item.action)
        assert inn.qsize() == len(theirs) + len(own_items) - len(got)
    while (item := inn.pull()) is not None:
        got.append(item if isinstance(item, str) else item.action)
    assert [item for item in got if item in theirs] == theirs
    assert [item for item in got if item in own_items] == own_items
    interface.loop_stop()
    inbox.close()
