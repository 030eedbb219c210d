from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.map_tools.source import document_of, find_file, load_sources

MAP = """\
{
  "root": "home",
  "topics": ["home/+/+/+/+/+/C"],
  "action": {"maptype": "loose", "map": {"ON": ["on", "1"]}}
}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_map_on_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "lamp.json", MAP)
    (source,) = load_sources(path, {}, sender="me")
    assert (source.label, source.interfaces, source.msg_map.sender) == (str(path), (), "me")
    assert source.place(("action", "map", "ON", 1)) == f"{path}:4"
    assert source.place(("topics", "home/+/+/+/+/+/C")) == f"{path}:3"
    finding = source.finding(("action", "map", "ON"), "what", "remedy")
    assert (finding.line, finding.column, finding.where) == (4, 42, "action.map.ON")


def test_the_map_that_a_configuration_names(tmp_path: Path) -> None:
    path = write(tmp_path, "lamp.json", MAP)
    conf = write(tmp_path, "gw.conf", "map: lamp.json\ninterface: {type: dummy}\n")
    (source,) = load_sources(conf, {}, sender="not this")
    assert (source.label, source.msg_map.sender) == (f"{path} (dummy)", "gw")
    assert source.place(("action", "map", "ON", 0)) == f"{path}:4"


def test_the_map_that_an_old_configuration_names(tmp_path: Path) -> None:
    path = write(tmp_path, "lamp.json", MAP)
    conf = write(tmp_path, "old.conf", "[MQTT]\nmapping: on\nmapfilename: lamp.json\n")
    (source,) = load_sources(conf, {}, sender="")
    assert source.msg_map.sender == "old"
    assert source.place(("action", "map", "ON", 0)) == f"{path}:4"


def test_a_map_of_version_2_whose_words_are_in_the_opposite_order(tmp_path: Path) -> None:
    fields = '"action": {"maptype": "strict", "map": {"on": "ON",\n"off": "OFF"}}'
    path = write(tmp_path, "old.json", f'{{"root": "home", "topics": [], {fields}}}')
    (source,) = load_sources(path, {}, sender="gw")
    assert source.place(("action", "map", "OFF", 0)) == f"{path}:2"


def test_a_map_within_a_configuration(tmp_path: Path) -> None:
    text = "interface: {type: dummy}\nmap:\n  root: home\n  topics:\n    - home/+/+/+/+/+/C\n"
    conf = write(tmp_path, "gw.conf", text)
    (source,) = load_sources(conf, {}, sender="")
    assert source.place(("topics", "home/+/+/+/+/+/C")) == f"{conf}:5"


def test_root_and_topics_of_a_configuration(tmp_path: Path) -> None:
    conf = write(tmp_path, "gw.conf", "root: home\ntopics: [home/#]\ninterface: {type: dummy}\n")
    (source,) = load_sources(conf, {}, sender="")
    assert source.place(("topics", "home/#")) == f"{conf}:2"


def test_interfaces_that_share_a_map_and_those_that_do_not(tmp_path: Path) -> None:
    path = write(tmp_path, "lamp.json", MAP)
    conf = write(
        tmp_path, "gw.conf",
        "map: lamp.json\n"
        "interfaces:\n"
        "  a: {type: dummy}\n"
        "  b: {type: dummy}\n"
        "  c: {type: dummy, sender: other}\n"
        "  d:\n    type: dummy\n    map: {root: site, topics: [site/+/+/+/+/+/C]}\n",
    )  # fmt: skip
    sources = load_sources(conf, {}, sender="")
    assert [(source.label, source.msg_map.sender) for source in sources] == [
        (f"{path} (a, b)", "gw"), (f"{path} (c)", "other"), (f"{conf} (d)", "gw")]  # fmt: skip
    assert sources[2].place(("topics", "site/+/+/+/+/+/C")) == f"{conf}:8"


def test_a_file_is_found_by_its_name_among_the_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file("dummy_map.json", {}).name == "dummy_map.json"
    assert find_file("dummy2mqtt.conf", {}).name == "dummy2mqtt.conf"
    mine = write(tmp_path, "dummy_map.json", MAP)
    assert find_file("dummy_map.json", {}).samefile(mine)
    with pytest.raises(ConfigurationError, match="no such file"):
        find_file("nowhere.json", {})


def test_a_document_with_errors_is_read_if_it_can_be_parsed(tmp_path: Path) -> None:
    twice = write(tmp_path, "twice.json", '{"root": "a", "root": "b"}')
    assert document_of(twice, {}).data == {"root": "b"}
    with pytest.raises(ConfigurationError, match="not JSON"):
        document_of(write(tmp_path, "broken.json", "{"), {})
