"""Builds the configuration from its file (YAML, or the INI of the original), or says everything that is wrong with it.

Everything is checked before anything starts: the options against their schemas, the maps, the interface
classes, the files that hold secrets. Nothing here opens a device or a connection.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError, is_ini, load_yaml, variables
from gateway.configuration.document import Path as DataPath
from gateway.configuration.file_access import (
    group_that_may_change,
    who_may_change,
    who_may_change_code,
    who_may_read,
)
from gateway.configuration.interface_loader import BUILT_IN, CodeNotFoundError, find_interface
from gateway.configuration.load_filters import FilterLoader
from gateway.configuration.load_map import build_map, load_map, read_text
from gateway.configuration.remedies import near
from gateway.configuration.schema_check import check_schema, convert_substituted, fill_defaults
from gateway.configuration.schemas import common_schema, config_schema, interface_schema
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.own_files import NotOwnError, refuse_foreign_file
from gateway.core.paths import (
    expanded,
    find_legacy,
    find_map,
    folder_to_look_in,
    is_folder,
    state_folder,
)
from gateway.core.topic import filter_problem, word_problem
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding, MoreFindings
from gateway.interface import Interface
from gateway.logs.init_logger import LogOptions
from gateway.logs.masking import Masker
from gateway.message import ADDRESS_FIELDS, own_word_problem
from gateway.mqtt.dial import LinkError, Server, TlsOptions, tls_context
from gateway.mqtt.options import MqttOptions, parse_server
from gateway.outbox.options import DISK_BYTES, MEMORY_BYTES, DiscardPolicy, OutboxOptions
from gateway.routing.command_guard import CommandOptions
from gateway.routing.command_index import Addresses
from gateway.routing.message_filter import Filters
from gateway.translation.mqtt_map import FIELDS, MsgMap

_MAX_SECRET_BYTES = 64 * 1024
_SECRET = re.compile(r"(?i)(.*[_-])?(pass(word|wd|phrase)?|pwd|secret|token)")
"""The whole name of an option whose value is a secret."""


def load_configuration(path: Path, environment: Mapping[str, str], *, is_run: bool = True) -> Configuration:
    """Return the configuration in the file at `path`; not `is_run`: for a look at what a gateway with it has left.

    Raises `ConfigurationError` with everything that is wrong with it, with its map, and with the other
    files it names.
    """
    try:
        document = read_document(path, environment)
    except FaultyDocumentError as err:
        loader = _Loader(path, err.document, environment, err.findings, is_run=is_run)
        loader.load()  # raises, with what else is wrong
        raise
    return _Loader(path, document, environment, is_run=is_run).load()


def read_document(path: Path, environment: Mapping[str, str]) -> Document:
    """Return the data of the configuration at `path`. Raises `ConfigurationError` if it is neither YAML nor INI."""
    notes: list[Finding] = []
    text = read_text(path, is_ini, notes.append)
    if is_ini(text):
        from gateway.configuration.legacy.ini_config import load_ini

        find = partial(find_legacy, beside=path.parent)
        return load_ini(text, path, find, lambda other: read_text(other, is_ini, notes.append), notes)
    return load_yaml(text, str(path), environment)


def _bounded_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each of `notes` once; of very many the first, and how many more there are."""
    found = tuple(dict.fromkeys(notes))
    more = len(found) - MAX_FINDINGS
    return found if more <= 0 else (*found[:MAX_FINDINGS], f"and {more} more notes")


def _is_host(text: str) -> bool:
    """Tell whether `text` has the form of a host name or an address (IPv6 without brackets)."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return re.search(r"[/:@\[\]\s\x00-\x1f]", text) is None
    return True


def has_secret(document: Document) -> bool:
    """Return whether there is a secret in the text of a configuration, and not only the name of what holds it."""
    data = document.data
    return any(
        isinstance(value, str) and value and not variables(document.raw.get((*at, name), ""))
        for at, options in (
            (("mqtt",), data.get("mqtt")),
            (("interface",), data.get("interface")),
            *((("interfaces", key), options) for key, options in (data.get("interfaces") or {}).items()),
        )
        for name, value in (options or {}).items()
        if _SECRET.fullmatch(name)
    )


def _shipped_schemas(data: Mapping[str, Any]) -> dict[DataPath, Mapping[str, Any]]:
    """Return the schemas of those interfaces of a configuration that ship with the gateway, by their paths."""
    several = data.get("interfaces")
    found: dict[DataPath, Any] = {("interface",): data.get("interface")}
    found |= {("interfaces", key): options for key, options in several.items()} if isinstance(several, dict) else {}
    return {
        at: interface_schema(find_interface(options["type"], Path()))
        for at, options in found.items()
        if isinstance(options, dict) and any(options.get("type") == name for name in BUILT_IN)  # it may be a list
    }


def _foreign(path: Path) -> Iterator[str]:
    """Yield why the file at `path`, which the gateway writes, would not be taken as it is."""
    try:
        refuse_foreign_file(path)
    except NotOwnError as err:
        yield f"{path}: {err.strerror}"


class _Loader:
    """Collects findings while it goes through a document, and builds the parts that are right."""

    def __init__(
        self,
        path: Path,
        document: Document,
        environment: Mapping[str, str],
        faults: Iterable[Finding] = (),
        *,
        is_run: bool = True,
    ) -> None:
        self.path = path
        self.is_run = is_run
        self.document = document
        self.environment = environment
        self.findings = list(faults)
        self.found = len(self.findings)  # all of them, of which only the first are kept
        self.faults = {(fault.file, fault.line, fault.column) for fault in self.findings}
        self.secrets: list[str] = []
        self.notes: list[str] = list(map(str, document.notes))
        self.maps: list[Path] = []  # the files of the configuration beside its own: maps, code, and secrets
        self.code: list[Path] = []
        self.secret_files: list[Path] = []
        self.filters = FilterLoader(document, path.parent)

    def load(self) -> Configuration:
        data = convert_substituted(self.document, self.document.data, config_schema())
        if not isinstance(data, dict):
            what = "a configuration is a mapping of options"
            if data is None:
                what = (
                    "there is nothing in it: a configuration is a mapping of options, or an INI file with a [SECTION]"
                )
            remedy = "for example interface: {type: dummy}"
            if isinstance(data, str) and "=" in data:
                remedy = "write NAME: VALUE instead of NAME = VALUE"
            self.complain((), what, remedy)
            raise ConfigurationError(self.findings)
        if not {"interface", "interfaces"} & set(data) and {"syntax", "delivery", *FIELDS} & set(data):
            remedy = (
                f"prove it with 'mqttgateway map check {self.path}'; a configuration names it as map: {self.path.name}"
            )
            self.complain((), "this is a map, and no configuration", remedy)
            raise ConfigurationError(self.findings)
        self.add(check_schema(self.document, data, config_schema(), parts=partial(_shipped_schemas, data)))
        fit = not self.findings
        name = self.name(data)
        options = fill_defaults(data, config_schema()) if fit else data
        mqtt = self.mqtt(options["mqtt"], name) if fit else MqttOptions()
        outbox = self.outbox(options["outbox"], name, mqtt.qos) if fit else OutboxOptions()
        common_map = self.common_map(data, name, mqtt.qos)
        interfaces = tuple(self.interfaces(data, name, mqtt.qos, common_map))
        commands = self.commands(options, interfaces) if fit else CommandOptions()
        common_filters = self.filters_of(options, (), [interface.msg_map for interface in interfaces], fit)
        interfaces = tuple(one._replace(filters=one.filters.within(common_filters)) for one in interfaces)
        self.add(self.filters.findings)
        self.collect_secrets()
        if self.findings:
            raise ConfigurationError(self.masked())
        root = common_map.root if common_map else interfaces[0].msg_map.root
        log = LogOptions(**options["log"])
        written = (outbox.file, Path(expanded(log.file)) if log.file else None)
        warnings = [*self.access(), *(foreign for file in written if file is not None for foreign in _foreign(file))]
        return Configuration(self.path, name, root, mqtt, outbox, commands, log, interfaces, tuple(self.secrets),
                             _bounded_notes(self.notes), tuple(dict.fromkeys(warnings)),
                             tuple(self.without_folder(log, outbox)))  # fmt: skip

    def without_folder(self, log: LogOptions, outbox: OutboxOptions) -> Iterator[Finding]:
        """Yield the files that are to be written, and whose folders are not there: nobody makes these."""
        for section, file in ("log", log.file), ("outbox", outbox.file if outbox.is_place_chosen else None):
            if file and not is_folder(folder := Path(file).parent):
                what = f"there is no folder {folder.absolute()}"
                yield self.document.finding((section, "file"), what, "make it, or name another file")

    def access(self) -> Iterator[str]:
        """Yield who else may change the files of the configuration, or read a secret; a group is but a note."""
        self.code += self.filters.files
        found = [*map(who_may_change, (self.path, *self.maps)), *map(who_may_change_code, self.code)]
        if has_secret(self.document):
            found.append(who_may_read(self.path))
        found += map(who_may_read, self.secret_files)
        yield from (str(Finding(str(access.path), 0, 0, "", access.what, access.remedy)) for access in found if access)
        for path in (self.path, *self.maps, *self.code, *self.secret_files):
            access = group_that_may_change(path)
            if access is not None:
                self.notes.append(str(Finding(str(path), 0, 0, "", access.what, access.remedy)))

    def complain(self, path: DataPath, what: str, remedy: str = "", *, at_key: bool = False) -> None:
        self.add([self.document.finding(path, what, remedy, at_key=at_key)])

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings, but not those that only follow from what is wrong with the text itself."""
        fresh = [new for new in findings if (new.file, new.line, new.column) not in self.faults]
        self.found += len(fresh)
        kept = fresh[: max(0, MAX_FINDINGS - len(self.findings))]
        self.findings += kept
        if len(kept) < len(fresh):
            self.findings.append(MoreFindings(str(self.path), 0, len(fresh) - len(kept), "", "", ""))
            self._join_more()

    def _join_more(self) -> None:
        """Let one finding stand for all that are not kept."""
        more = [finding for finding in self.findings if isinstance(finding, MoreFindings)]
        self.findings = [finding for finding in self.findings if not isinstance(finding, MoreFindings)]
        self.findings.append(MoreFindings(str(self.path), 0, sum(finding.column for finding in more), "", "", ""))

    def masked(self) -> Iterator[Finding]:
        """Yield the findings without the secrets that they may quote."""
        mask = Masker(self.secrets).mask
        for finding in self.findings:
            yield finding._replace(what=mask(finding.what), remedy=mask(finding.remedy))

    def name(self, data: Mapping[str, Any]) -> str:
        name = data.get("name", self.path.stem)
        if not isinstance(name, str) or not name:
            return "?"  # the schema has said it
        problem = word_problem(name)
        if problem:
            self.complain(("name",), f"{name!a} cannot be the sender of messages: {problem}", "give a plain name")
        return name

    def commands(self, data: Mapping[str, Any], interfaces: Iterable[InterfaceOptions]) -> CommandOptions:
        given = data["commands"]
        options = CommandOptions(**{**given, "response_topics": tuple(given["response_topics"])})
        for index, topic_filter in enumerate(options.response_topics):
            problem = filter_problem(topic_filter)
            if problem:
                what = f"{topic_filter!a}: {problem}"
                self.complain(("commands", "response_topics", index), what, "correct the filter")
        problems = [interface.msg_map.problem_of("argkey", options.timestamp_argument) for interface in interfaces]
        own = own_word_problem(options.timestamp_argument)
        if own:
            self.complain(("commands", "timestamp_argument"), own, "use another word")
        elif problems and all(problems):
            self.complain(("commands", "timestamp_argument"), problems[0])
        return options

    def filters_of(self, given: Mapping[str, Any], at: DataPath, maps: Sequence[MsgMap], fit: bool) -> Filters:
        return self.filters.build(given.get("filters", {}), (*at, "filters"), maps) if fit else Filters()

    # --- mqtt

    def mqtt(self, given: Mapping[str, Any], name: str) -> MqttOptions:
        options = dict(given)
        secret_file = options.pop("password_file", None)
        if secret_file is not None:
            if "password" in options:
                self.complain(
                    ("mqtt", "password_file"), "given as well as password", "keep one of the two", at_key=True
                )
            options["password"] = self.read_secret(("mqtt", "password_file"), secret_file)
        if options.get("password"):
            self.secrets.append(options["password"])
        tls = dict(options["tls"])
        for key in ("ca_file", "certificate_file", "key_file"):
            if key in tls:
                tls[key] = str(self.locate(tls[key]))
        if "key_file" in tls:
            self.secret_files.append(Path(tls["key_file"]))
        options["tls"] = TlsOptions(**tls)
        if options["tls"].enabled:
            try:
                tls_context(options["tls"])
            except LinkError as err:
                self.complain(("mqtt", "tls"), str(err))
        elif any(key in tls for key in ("ca_file", "certificate_file", "key_file")):
            self.complain(("mqtt", "tls"), "files are given, but TLS is not enabled", "add enabled: true")
        options.setdefault("client_id", name)
        options["servers"] = tuple(self.servers(options))
        if options["servers"] and "host" in self.document.data["mqtt"]:
            self.complain(("mqtt", "servers"), "given as well as host", "keep one of the two", at_key=True)
        if options["transport"] == "unix":
            options["host"] = self.unix_socket(options)
        elif not _is_host(options["host"]):
            what = f"{options['host']!a} is not a host name or address"
            self.complain(("mqtt", "host"), what, "give it without scheme and port; the port is mqtt.port")
        is_local = options["host"] in ("127.0.0.1", "localhost", "::1") and not options["servers"]
        if options["demo_broker"] and not (is_local and options["transport"] == "tcp"):
            remedy = "set mqtt.host to 127.0.0.1" if not is_local else "set mqtt.transport to tcp"
            self.complain(("mqtt", "demo_broker"), "the embedded broker serves this machine only", remedy)
        if options["demo_broker"]:
            options["version"] = "3.1.1"  # all that the embedded broker speaks; it does not even refuse 5
        return MqttOptions(**options)

    def servers(self, options: Mapping[str, Any]) -> Iterator[Server]:
        for index, text in enumerate(options.get("servers", ())):
            try:
                server = parse_server(text, options["port"])
            except ValueError as err:
                self.complain(("mqtt", "servers", index), f"{text!a}: {err}", "for example broker.home:1883")
                continue
            if not _is_host(server.host):
                self.complain(("mqtt", "servers", index), f"{server.host!a} is not a host name or address")
            yield server

    def unix_socket(self, options: Mapping[str, Any]) -> str:
        given = self.document.data["mqtt"]
        if "servers" in given or "host" not in given:
            self.complain(("mqtt", "transport"), "unix needs the path of a socket", "give it as mqtt.host")
        if options["tls"].enabled:
            self.complain(("mqtt", "tls"), "a unix socket has no TLS", "set mqtt.tls.enabled to false")
        return str(self.path.parent / expanded(options["host"]))

    def locate(self, file: str) -> Path:
        """Return where a file is: beside the configuration, or else a credential that systemd hands over."""
        path = self.path.parent / expanded(file)
        folder = self.environment.get("CREDENTIALS_DIRECTORY", "")
        credential = Path(folder) / file
        return credential if folder and not path.exists() and credential.is_file() else path

    def read_secret(self, at: DataPath, file: str) -> str:
        path = self.locate(file)
        try:
            if path.exists() and not path.is_file():
                self.complain(at, f"{path} is not a file", "write the secret into one")
                return ""
            if path.stat().st_size > _MAX_SECRET_BYTES:
                self.complain(at, f"{path} is too large for a secret", "is it the right file?")
                return ""
            secret = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as err:  # ValueError: not UTF-8, or a path with a NUL
            reason = "not UTF-8" if isinstance(err, UnicodeDecodeError) else getattr(err, "strerror", None) or err
            self.complain(at, f"{path} cannot be read: {reason}", "check its path and permissions")
            return ""
        if not secret:
            self.complain(at, f"{path} is empty", "write the secret into it")
        self.secret_files.append(path)
        return secret

    def collect_secrets(self) -> None:
        """What the environment puts into a password is secret; what it puts into an interface may be: a gate's code."""
        for path, raw in self.document.raw.items():
            if path[:1] in (("interface",), ("interfaces",)) or path == ("mqtt", "password"):
                self.secrets += (self.environment[name] for name in variables(raw) if name in self.environment)

    def outbox(self, given: Mapping[str, Any], name: str, qos: int) -> OutboxOptions:
        """Choose where the outbox is kept: as told, or on disk where there is a folder for it."""
        options = dict(given)
        file = f"{name}.outbox"
        folder = state_folder(self.environment) if self.is_run else folder_to_look_in(self.environment, file)
        options["is_place_chosen"] = "file" in options or options.get("store") == "memory" or not qos
        store = options.setdefault("store", "disk" if qos and ("file" in options or folder) else "memory")
        if store == "memory":
            if "file" in options:
                self.complain(("outbox", "file"), "an outbox in memory has no file", "remove one of the two")
            options.pop("file", None)
        elif not qos:
            self.complain(("outbox", "store"), "what goes with QoS 0 is not kept on disk", "set mqtt.qos to 1")
        elif "file" in options:
            options["file"] = self.path.parent / expanded(options["file"])
        elif folder is not None:
            options["file"] = folder / file
        else:
            what = "there is no folder for the state of programs here"
            self.complain(("outbox", "store"), what, "name a file as outbox.file", at_key=True)
        options.setdefault("max_bytes", DISK_BYTES if store == "disk" else MEMORY_BYTES)
        options["discard"] = DiscardPolicy(options.get("discard", DiscardPolicy.OLD))
        return OutboxOptions(**options)

    # --- maps

    def common_map(self, data: Mapping[str, Any], name: str, qos: int) -> MsgMap | None:
        if "map" in data:
            for key in ("root", "topics"):
                if key in data:
                    self.complain((key,), "given as well as map, which has its own", "keep one of the two", at_key=True)
            return self.build_map(("map",), data["map"], name, qos)
        if "root" in data or "topics" in data:
            plain = {key: data[key] for key in ("root", "topics") if key in data}
            if "topics" not in plain:
                self.complain(("root",), "'topics' is missing beside it", "add topics: []", at_key=True)
            elif "root" not in plain:
                self.complain(("topics",), "'root' is missing beside it", "add root: home", at_key=True)
            else:
                return self.try_map(self.document, plain, (), name, qos)
        return None

    def build_map(self, at: DataPath, given: Any, sender: str, qos: int) -> MsgMap | None:
        """Build the map that stands at path `at`: inline, or in the file that is named there."""
        if isinstance(given, dict):
            return self.try_map(self.document, given, at, sender, qos)
        if not isinstance(given, str):
            return None  # the schema has said it
        try:
            path = find_map(given, self.path.parent, self.environment)
        except ConfigurationError as err:  # say where it is asked for
            self.complain(at, f"{given}: {err.findings[0].what}", err.findings[0].remedy)
            return None
        self.maps.append(path)
        try:
            return load_map(path, sender=sender, status_qos=qos, say=self.notes.append)
        except ConfigurationError as err:
            self.add(err.findings)
            return None

    def try_map(self, document: Document, data: Any, at: DataPath, sender: str, qos: int) -> MsgMap | None:
        try:
            return build_map(document, data, at, sender=sender, status_qos=qos)
        except ConfigurationError as err:
            self.add(err.findings)
            return None

    # --- interfaces

    def interfaces(
        self, data: Mapping[str, Any], name: str, qos: int, common_map: MsgMap | None
    ) -> Iterator[InterfaceOptions]:
        one, several = data.get("interface"), data.get("interfaces")
        if ("interface" in data) == ("interfaces" in data):
            what = "both 'interface' and 'interfaces' are given" if "interface" in data else "there is no 'interface'"
            self.complain(("interfaces",), what, "give one: interface: {type: serial, ...}", at_key=True)
        if isinstance(one, dict) and isinstance(one.get("type"), str):
            yield from self.interface(("interface",), "", one, name, qos, common_map, data)
        if isinstance(several, dict):
            for key, options in several.items():
                problem = word_problem(key) if key else "the name is empty"
                if problem:
                    self.complain(("interfaces", key), f"the name {key!a} cannot be used: {problem}", at_key=True)
                elif isinstance(options, dict) and isinstance(options.get("type"), str):
                    yield from self.interface(("interfaces", key), key, options, name, qos, common_map, data)

    def interface(
        self,
        at: DataPath,
        name: str,
        given: Mapping[str, Any],
        gateway_name: str,
        qos: int,
        common_map: MsgMap | None,
        data: Mapping[str, Any],
    ) -> Iterator[InterfaceOptions]:
        try:
            cls = find_interface(given["type"], self.path.parent, gateway_name)
        except CodeNotFoundError as err:
            self.complain((*at, "type"), err.what, err.remedy)
            return
        code = given["type"].partition(":")[0]
        if code.endswith(".py"):
            self.code.append(self.path.parent / expanded(code))
        before = self.found
        try:
            given, params = self.interface_params(at, cls, given)
        except Exception as err:  # noqa: BLE001  (an interface is anybody's code)
            reason = f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
            self.complain((*at, "type"), f"the class {cls.__name__} is broken: {reason}", "mend its SCHEMA or check()")
            return
        sender = given.get("sender", gateway_name)
        if not isinstance(sender, str):
            sender = gateway_name  # the schema has said it
        msg_map = common_map
        if "map" in given:
            msg_map = self.build_map((*at, "map"), given["map"], sender, qos)
        elif "map" not in data and "root" not in data:
            self.complain(at, "it has no map", "give 'map', or 'root' and 'topics' at the top", at_key=True)
        elif common_map is not None and sender != gateway_name:
            msg_map = common_map.for_sender(sender)
        problem = word_problem(sender) if "sender" in given else ""  # the gateway's own name has been looked at
        if not problem and "sender" in given and msg_map is not None and sender == msg_map.empty_level:
            problem = "in the map it stands for an empty level"
        if problem:
            self.complain((*at, "sender"), f"{sender!a} cannot be a sender: {problem}", "give a plain name")
        name = name or Path(given["type"].partition(":")[0]).stem
        problem = word_problem(name)
        if problem:
            what = f"the name {name!a} cannot be used: {problem}"
            self.complain((*at, "type"), what, "use 'interfaces', with a name of your own")
        is_sound = self.found == before and not self.faults
        if msg_map is not None and is_sound and issubclass(cls, Interface):
            for path, field_name, word in cls.words(params):
                problem = msg_map.problem_of(field_name, word)
                if problem:
                    self.complain((*at, *path), problem)
        if msg_map is not None:
            filters = self.filters_of(given, at, [msg_map], self.found == before)
            addresses = self.addresses_of(at, cls, params) if is_sound else None
            yield InterfaceOptions(name, cls, params, msg_map, filters, addresses)

    def addresses_of(self, at: DataPath, cls: type[Any], params: Mapping[str, Any]) -> Addresses | None:
        """Return the addresses of an interface's commands; None if it is to have every message."""
        addresses = cls.addresses(params) if issubclass(cls, Interface) else None
        for name in sorted({name for address in addresses or () for name in address} - set(ADDRESS_FIELDS)):
            what = f"its class names the field {name!a} in an address of a command"
            self.complain(at, what, f"mend it: there are {', '.join(ADDRESS_FIELDS)}")
        return addresses

    def interface_params(
        self, at: DataPath, cls: type[Any], given: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Check the options of an interface; return them as given, and filled up as its class gets them."""
        schema = interface_schema(cls)
        if self.document.is_legacy:
            given = self.without_unknown(at, given, schema)
        given = convert_substituted(self.document, given, schema, at)
        findings = check_schema(self.document, given, schema, at)
        self.add(findings)
        # An option too much does not keep the others from being looked at.
        known = {k: v for k, v in given.items() if k in schema["properties"] or schema["additionalProperties"]}
        own = {k: v for k, v in fill_defaults(known, schema).items() if k not in common_schema()["properties"]}
        if (not findings or not check_schema(self.document, known, schema, at)) and hasattr(cls, "check"):
            for problem in cls.check(own):
                self.complain((*at, *problem.path), problem.what, problem.remedy)
        return given, own

    def without_unknown(self, at: DataPath, given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that the interface knows: those of the original read what they knew, and no more."""
        known = schema["properties"]
        for name in given if not schema["additionalProperties"] else ():
            if name not in known:
                what = f"an option that the interface {given['type']} does not know, and which is not read"
                self.notes.append(str(self.document.finding((*at, name), what, near(name, known), at_key=True)))
        return {k: v for k, v in given.items() if k in known or schema["additionalProperties"]}
