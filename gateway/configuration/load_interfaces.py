"""Builds the interfaces of a configuration: class, options, map, filters and addresses of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.configuration.document import Document
from gateway.configuration.document import Path as DataPath
from gateway.configuration.expand import expand
from gateway.configuration.interface_loader import CodeNotFoundError, failure_text, file_of, find_interface
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_filters import FilterLoader
from gateway.configuration.load_map import added_word_problems, build_map, load_map
from gateway.configuration.schema_check import check_schema, convert_substituted, fill_defaults, schema_problem
from gateway.configuration.schemas import interface_schema, shared_options
from gateway.configuration.settings import InterfaceOptions
from gateway.core.paths import find_map
from gateway.core.quoting import did_you_mean, quote
from gateway.core.topic import word_problem
from gateway.errors import ConfigurationError
from gateway.interface import Interface
from gateway.message import ADDRESS_FIELDS, iso_time
from gateway.routing.command_index import Addresses
from gateway.routing.message_filter import Filters
from gateway.routing.reading_time import ReadingTime
from gateway.translation.mqtt_map import MsgMap


class Known(NamedTuple):
    """What a trial need not load again: the classes of interfaces by type, and maps by file and sender."""

    classes: Mapping[str, type[Any]]
    maps: dict[tuple[Path, str], MsgMap]


class InterfacesLoader:
    """Builds the interfaces of the gateway called `name`; what is wrong with them becomes findings of `context`.

    `data` is the whole configuration. Statuses have the QoS `qos`. For a trial of rules, nothing runs that has run
    before: `trial` has the classes and maps that are known, and there are no filters.
    """

    def __init__(
        self, context: LoadContext, data: Mapping[str, Any], name: str, qos: int, trial: Known | None = None
    ) -> None:
        self.filters = FilterLoader(context.document, context.path.parent)
        self._context = context
        self._data = data
        self._name = name
        self._qos = qos
        self._trial = trial
        self._built: dict[DataPath, InterfaceOptions] = {}
        self._with_own_devices: list[DataPath] = []  # the interfaces whose class declares their devices
        self.common_map = self._common_map()

    def load(self) -> tuple[InterfaceOptions, ...]:
        """Return every interface that can be built."""
        return self._checked(tuple(self._load()))

    def _load(self) -> Iterator[InterfaceOptions]:
        context, data = self._context, self._data
        if ("interface" in data) == ("interfaces" in data):
            what = "'interface' and 'interfaces' are mutually exclusive"
            if "interface" not in data:
                what = "there is no 'interface'"
            context.complain(("interfaces",), what, "write one of them: interface: {type: serial, ...}", at_key=True)
        single, several = data.get("interface"), data.get("interfaces")
        if isinstance(single, dict) and isinstance(single.get("type"), str):
            yield from self._interface(("interface",), "", single)
        for key, options in several.items() if isinstance(several, dict) else ():
            problem = word_problem(key) if key else "the name is empty"
            if problem:
                context.complain(("interfaces", key), f"the name {key!a} cannot be used: {problem}", at_key=True)
            elif isinstance(options, dict) and isinstance(options.get("type"), str):
                yield from self._interface(("interfaces", key), key, options)

    def _checked(self, interfaces: tuple[InterfaceOptions, ...]) -> tuple[InterfaceOptions, ...]:
        """Check what the devices of all interfaces have in common; return the interfaces with those that are usable."""
        if not any(interface.devices for interface in interfaces):
            return interfaces
        from gateway.configuration.load_devices import check_documents

        checked = check_documents(self._context, self._name, self.root, self._built, self._with_own_devices)
        return tuple(checked[interface.name] for interface in interfaces)

    def paths_of(self, interfaces: Iterable[InterfaceOptions]) -> dict[DataPath, InterfaceOptions]:
        """Return `interfaces` by their paths in the configuration."""
        paths = {interface.name: path for path, interface in self._built.items()}
        return {paths[interface.name]: interface for interface in interfaces}

    @property
    def root(self) -> str:
        """Return the root of the gateway's own topics: that of the common map, or else of the first interface."""
        return (self.common_map or next(iter(self._built.values())).msg_map).root

    def filters_of(self, options: Mapping[str, Any], at: DataPath, maps: Sequence[MsgMap]) -> Filters:
        """Return the filters in `options`, which stand at path `at`, for interfaces with these maps."""
        if self._trial is not None:
            return Filters()
        return self.filters.build(options.get("filters", {}), (*at, "filters"), maps)

    # --- maps

    def _common_map(self) -> MsgMap | None:
        context, data = self._context, self._data
        if "map" in data:
            for key in ("root", "topics"):
                if key in data:
                    what = "mutually exclusive with 'map', which contains its own"
                    context.complain((key,), what, "remove one of the two", at_key=True)
            return self._map(("map",), data["map"], self._name)
        if "root" not in data and "topics" not in data:
            return None
        if "topics" not in data:
            context.complain(("root",), "'topics' is missing beside it", "add topics: []", at_key=True)
        elif "root" not in data:
            context.complain(("topics",), "'root' is missing beside it", "add root: home", at_key=True)
        else:
            return self._inline_map(context.document, {key: data[key] for key in ("root", "topics")}, (), self._name)
        return None

    def _map(self, at: DataPath, value: Any, sender: str) -> MsgMap | None:
        """Return the map at path `at`: written there, or in the file that is named there; None if it has errors."""
        context = self._context
        if isinstance(value, dict):
            return self._inline_map(context.document, value, at, sender)
        if not isinstance(value, str):
            return None  # the schema check has reported it
        try:
            path = find_map(value, context.path.parent, context.environment)
        except ConfigurationError as err:  # reported where the file is named
            context.complain(at, f"{value}: {err.findings[0].what}", err.findings[0].remedy)
            return None
        context.maps.append(path)
        if self._trial is not None and (path, sender) in self._trial.maps:
            return self._trial.maps[path, sender]
        try:
            msg_map = load_map(path, sender=sender, status_qos=self._qos, log=context.notes.append)
        except ConfigurationError as err:
            context.add(err.findings)
            return None
        if self._trial is not None:
            self._trial.maps[path, sender] = msg_map
        return msg_map

    def _inline_map(self, document: Document, data: Any, at: DataPath, sender: str) -> MsgMap | None:
        try:
            return build_map(document, data, at, sender=sender, status_qos=self._qos)
        except ConfigurationError as err:
            self._context.add(err.findings)
            return None

    # --- one interface

    def _interface(self, at: DataPath, name: str, options: Mapping[str, Any]) -> Iterator[InterfaceOptions]:
        context = self._context
        try:
            known = self._trial.classes.get(options["type"]) if self._trial is not None else None
            cls = known or find_interface(options["type"], context.path.parent, self._name)
        except CodeNotFoundError as err:
            context.complain((*at, "type"), err.what, err.remedy)
            return
        code = options["type"].partition(":")[0]
        if code.endswith(".py"):
            context.code.append(context.beside(code))
        count_before = context.finding_count
        try:
            options, params = self._params(at, cls, options)
        except (Exception, SystemExit) as err:  # noqa: BLE001  (the class may be from anywhere, and raise anything)
            of_schema = schema_problem(getattr(cls, "SCHEMA", None))
            self._complain_of_class(
                at, cls, of_schema or err, f"fix its {'SCHEMA' if of_schema else 'SCHEMA or check()'}"
            )
            return
        sender = options.get("sender", self._name)
        if not isinstance(sender, str):
            sender = self._name  # the schema check has reported it
        msg_map = self._with_words(at, self._map_of(at, options, sender))
        self._check_sender(at, options, sender, msg_map)
        name = name or Path(code).stem
        problem = word_problem(name)
        if problem:
            what = f"the name {name!a} cannot be used: {problem}"
            context.complain((*at, "type"), what, "use 'interfaces', with a name of your choice")
        is_sound = context.finding_count == count_before and not context.faults
        if msg_map is None:
            return
        if is_sound and issubclass(cls, Interface):
            self._check_words(at, cls, params, msg_map)
        addresses = self._addresses(at, cls, params, is_sound)
        has_no_errors = context.finding_count == count_before
        filters = self.filters_of(options, at, [msg_map]) if has_no_errors else Filters()
        interface = InterfaceOptions(name, cls, params, msg_map, filters, addresses)
        if has_no_errors:
            interface = interface._replace(reading_time=self._reading_time(at, cls, options, msg_map))
        if is_sound and has_no_errors:
            interface = self._with_devices(at, interface, options)
        self._built[at] = interface
        yield interface

    def _map_of(self, at: DataPath, options: Mapping[str, Any], sender: str) -> MsgMap | None:
        if "map" in options:
            return self._map((*at, "map"), options["map"], sender)
        if "map" not in self._data and "root" not in self._data:
            remedy = "add 'map', or 'root' and 'topics' at the top of the file"
            self._context.complain(at, "it has no map", remedy, at_key=True)
        elif self.common_map is not None and sender != self._name:
            return self.common_map.for_sender(sender)
        return self.common_map

    def _with_words(self, at: DataPath, msg_map: MsgMap | None) -> MsgMap | None:
        """Return the map of an interface with the words that the page file adds to it."""
        page, words = self._context.page, self._context.words.get(at)
        if not words or page is None or msg_map is None:
            return msg_map
        problems = list(added_word_problems(msg_map, words))
        self._context.add(
            page.finding((*at, "words", *path), what, remedy, at_key=is_at_key)
            for path, what, remedy, is_at_key in problems
        )
        return msg_map if problems else msg_map.with_words(words)

    def _check_sender(self, at: DataPath, options: Mapping[str, Any], sender: str, msg_map: MsgMap | None) -> None:
        if "sender" not in options:
            return  # the name of the gateway has been checked
        problem = word_problem(sender)
        if not problem and msg_map is not None and sender == msg_map.empty_level:
            problem = "in the map it stands for an empty level"
        if problem:
            self._context.complain((*at, "sender"), f"{sender!a} cannot be a sender: {problem}", "use a plain name")

    def _reading_time(
        self, at: DataPath, cls: type[Any], options: Mapping[str, Any], msg_map: MsgMap
    ) -> ReadingTime | None:
        """Return how the times of readings travel; check that the map can write the argument for it."""
        context = self._context
        if "reading_time" not in options or "reading_time" not in shared_options(
            cls, is_legacy=context.document.is_legacy
        ):
            return None
        reading_time = ReadingTime(**options["reading_time"])
        problem = msg_map.argument_problem(reading_time.argument, iso_time(0.0)) if reading_time.argument else None
        if problem is not None:
            context.complain((*at, "reading_time", "argument"), problem.what, problem.remedy)
        return reading_time

    def _addresses(self, at: DataPath, cls: type[Any], params: Mapping[str, Any], is_sound: bool) -> Addresses | None:
        """Return the addresses of an interface's commands; None if it receives every message."""
        if not is_sound or not issubclass(cls, Interface):
            return None
        try:
            addresses = cls.addresses(params)
            if addresses is not None:
                addresses = tuple(_checked_address(address) for address in addresses)
        except (Exception, SystemExit) as err:  # noqa: BLE001  (the class may be from anywhere, and raise anything)
            self._complain_of_class(at, cls, err, "fix its addresses()")
            return None
        for name in sorted({name for address in addresses or () for name in address} - set(ADDRESS_FIELDS)):
            what = f"its class names the field {name!a} in the address of a command, but there is no such field"
            self._context.complain(at, what, f"fix the class: the fields are {', '.join(ADDRESS_FIELDS)}")
        return addresses

    def _check_words(self, at: DataPath, cls: type[Interface], params: Mapping[str, Any], msg_map: MsgMap) -> None:
        """Check that the map has the words of an interface's messages."""
        try:
            for path, field_name, word in cls.words(params):
                problem = msg_map.problem_of(field_name, word)
                if problem:
                    self._context.complain((*at, *path), problem)
        except (Exception, SystemExit) as err:  # noqa: BLE001  (the class may be from anywhere, and raise anything)
            self._complain_of_class(at, cls, err, "fix its words()")

    def _with_devices(self, at: DataPath, interface: InterfaceOptions, options: Mapping[str, Any]) -> InterfaceOptions:
        """Return the interface with the devices that its options declare, or else its class."""
        shared = shared_options(interface.cls, is_legacy=self._context.document.is_legacy)
        data = options.get("devices") if "devices" in shared else None
        has_hook = any(map(_has_hook, (options.get("filters"), self._data.get("filters"))))
        try:
            from_class = self._devices_of_class(interface) if data is None else []
            if not data and not from_class:
                return interface
            from gateway.configuration.load_devices import DevicesLoader  # most interfaces have no devices

            loader = DevicesLoader(self._context, at, interface, has_hook=has_hook)
            devices = loader.load(data) if data else loader.load_from_class(from_class)
            if not data:
                self._with_own_devices.append(at)
        except (Exception, SystemExit) as err:  # noqa: BLE001  (the class may be from anywhere, and raise anything)
            self._complain_of_class(at, interface.cls, err, "fix its devices(), signatures() or explain_command()")
            return interface
        most = options.get("max_devices", interface.max_devices) if "max_devices" in shared else interface.max_devices
        return interface._replace(devices=devices, max_devices=most)

    @staticmethod
    def _devices_of_class(interface: InterfaceOptions) -> list[dict[str, Any]]:
        """Return the data of the devices that the class of an interface declares."""
        if not issubclass(interface.cls, Interface):
            return []
        declared: Any = interface.cls.devices(interface.params)
        if isinstance(declared, str | bytes | Mapping) or not isinstance(declared, Iterable):
            raise TypeError(f"devices() returned {quote(declared)}, and not a list of devices")
        return [dict(device) if isinstance(device, Mapping) else device for device in declared]

    def _complain_of_class(self, at: DataPath, cls: type[Any], err: BaseException | str, remedy: str) -> None:
        reason = err if isinstance(err, str) else failure_text(err, file_of(cls))
        self._context.complain((*at, "type"), f"the class {cls.__name__} fails: {reason}", remedy)

    def _params(
        self, at: DataPath, cls: type[Any], options: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Check the options of an interface; return them as written, and with defaults, as its class receives them."""
        context = self._context
        is_legacy = context.document.is_legacy
        schema, shared = interface_schema(cls, is_legacy=is_legacy), shared_options(cls, is_legacy=is_legacy)
        if is_legacy:
            options = self._without_unknown(at, options, schema)
        else:
            expanded = expand(context.document, options, schema, at)
            context.document = context.document.with_origins(expanded.origins)
            context.add(expanded.findings)
            options = expanded.options
        options = convert_substituted(context.document, options, schema, at)
        findings = check_schema(context.document, options, schema, at)
        context.add(findings)
        # An unknown option must not keep the others from being checked.
        known_options = {
            k: v for k, v in options.items() if k in schema["properties"] or schema["additionalProperties"]
        }
        params = {k: v for k, v in fill_defaults(known_options, schema).items() if k not in shared}
        params = context.with_located_files(params, schema)
        if (not findings or not check_schema(context.document, known_options, schema, at)) and hasattr(cls, "check"):
            for problem in cls.check(params):
                context.complain((*at, *problem.path), problem.what, problem.remedy)
        return options, params

    def _without_unknown(self, at: DataPath, options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that the interface knows: in versions before 3.0, unknown options were ignored."""
        properties = schema["properties"]
        for name in options if not schema["additionalProperties"] else ():
            if name not in properties:
                what = f"the interface {options['type']} has no such option; it is ignored"
                finding = self._context.document.finding((*at, name), what, did_you_mean(name, properties), at_key=True)
                self._context.notes.append(str(finding))
        return {k: v for k, v in options.items() if k in properties or schema["additionalProperties"]}


def _checked_address(address: Any) -> Mapping[str, str]:
    """Return an address that a class has returned; raise `TypeError` if it is not words by field."""
    if not isinstance(address, Mapping) or any(not isinstance(word, str) for word in address.values()):
        raise TypeError(f"{quote(address)} is not an address, such as {{'device': 'lamp'}}")
    return address


def _has_hook(filters: Any) -> bool:
    """Return whether a hook may change messages to MQTT. The filters of the gateway may not fit their schema."""
    rules = filters.get("out") if isinstance(filters, dict) else None
    return isinstance(rules, list) and any(isinstance(rule, dict) and "hook" in rule for rule in rules)
