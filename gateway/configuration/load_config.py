"""Builds the configuration from its file (YAML, or the INI of versions before 3.0), or reports all its errors.

Everything is checked before anything starts: the options against their schemas, the maps, the interface
classes, the files that hold secrets. Nothing here opens a device or a connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError
from gateway.configuration.document import Path as DataPath
from gateway.configuration.interface_loader import BUILT_IN, find_interface
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_interfaces import InterfacesLoader, Known
from gateway.configuration.load_map import read_text
from gateway.configuration.load_sections import (
    load_commands,
    load_log,
    load_mqtt,
    load_outbox,
    load_web,
    missing_folders,
)
from gateway.configuration.page_file import take_page
from gateway.configuration.plain_secrets import marked_secrets, plain_secrets
from gateway.configuration.schema_check import check_schema, convert_substituted
from gateway.configuration.schemas import config_schema, interface_schema
from gateway.configuration.settings import HANG_LIMIT, Configuration, InterfaceOptions
from gateway.configuration.yaml_reader import is_ini, load_yaml
from gateway.core.counting import counted
from gateway.core.own_files import NotOwnError, refuse_foreign_file
from gateway.core.paths import expanded, find_legacy
from gateway.core.topic import word_problem
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding
from gateway.integrations.homeassistant.options import HomeAssistantOptions
from gateway.logs.init_logger import LogOptions
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import OutboxOptions
from gateway.routing.command_guard import CommandOptions
from gateway.routing.message_filter import Filters
from gateway.translation.mqtt_map import FIELDS
from gateway.web.options import WebOptions

_HASH_DIGITS = 12  # enough to tell versions of a configuration apart


def load_configuration(
    path: Path, environment: Mapping[str, str], *, is_run: bool = True, page: str | None = None
) -> Configuration:
    """Return the configuration in the file at `path`, with what its page file changes.

    `page` is the text of the page file, if it is to be another one than that on the disk. `is_run` is false if no
    gateway is started with it, for example to inspect the outbox that one has left. Raises `ConfigurationError` with
    all errors in the file, in its map, and in the other files that it names.
    """
    try:
        document = read_document(path, environment)
    except FaultyDocumentError as err:
        _load(LoadContext(path, err.document, environment, err.findings, is_run=is_run), page)  # raises, with more
        raise
    return _load(LoadContext(path, document, environment, is_run=is_run), page)


def load_one_interface(context: LoadContext, at: DataPath, known: Known) -> InterfaceOptions:
    """Return the interface at path `at` of the document of `context`, for a trial of its rules, without filters.

    Raises `ConfigurationError` with everything that is wrong with it, in which the secrets of `context` are masked: the
    caller has put there those that the interface uses.
    """
    data = {key: value for key, value in context.document.data.items() if key not in ("interface", "interfaces")}
    inner = context.document.data
    for step in at:
        inner = inner[step]
    data[str(at[0])] = inner if len(at) == 1 else {at[1]: inner}
    data = convert_substituted(context.document, data, config_schema())
    name = _name(context, data)
    qos = data.get("mqtt", {}).get("qos", MqttOptions().qos)
    loader = InterfacesLoader(context, data, name, qos, known)
    interfaces = loader.load()
    if context.findings or not interfaces:
        raise ConfigurationError(context.masked_findings())
    return interfaces[0]


def read_document(path: Path, environment: Mapping[str, str]) -> Document:
    """Return the data of the configuration at `path`. Raises `ConfigurationError` if it is neither YAML nor INI."""
    notes: list[Finding] = []
    text = read_text(path, is_ini, notes.append)
    if is_ini(text):
        from gateway.configuration.legacy.ini_config import load_ini

        find = partial(find_legacy, beside=path.parent)
        return load_ini(text, path, find, lambda other: read_text(other, is_ini, notes.append), notes)
    return load_yaml(text, str(path), environment)


def _load(context: LoadContext, page: str | None) -> Configuration:
    """Return the configuration in the document of `context`; raise `ConfigurationError` with all its errors.

    `page` is the text of the page file; None: that on the disk, if it is there.
    """
    take_page(context, page)
    data = convert_substituted(context.document, context.document.data, config_schema())
    _refuse_other_files(context, data)
    context.add(check_schema(context.document, data, config_schema(), parts=partial(_shipped_schemas, data)))
    fits = not context.findings  # only then do the sections have the form that their loaders expect
    name = _name(context, data)
    mqtt = load_mqtt(context, data.get("mqtt", {}), name) if fits else MqttOptions()
    outbox = load_outbox(context, data.get("outbox", {}), name, mqtt.qos) if fits else OutboxOptions()
    loader = InterfacesLoader(context, data, name, mqtt.qos)
    found_before = context.finding_count
    interfaces = loader.load()
    are_all_known = context.finding_count == found_before
    commands = load_commands(context, data.get("commands", {}), interfaces) if fits else CommandOptions()
    maps = [interface.msg_map for interface in interfaces]
    common_filters = loader.filters_of(data, (), maps) if fits else Filters()
    interfaces = tuple(interface._replace(filters=interface.filters.within(common_filters)) for interface in interfaces)
    context.add(loader.filters.findings)
    if mqtt.version != 5:
        context.notes += [
            f"interface {each.name!a}: MQTT 3.1.1 has no user properties: the time of a reading is left out; "
            f"set reading_time.argument, or mqtt.version to 5"
            for each in interfaces
            if each.reading_time is not None and not each.reading_time.argument
        ]
    home_assistant = HomeAssistantOptions()
    if fits and interfaces and data.get("home_assistant", False) is not False:
        from gateway.configuration.load_entities import load_home_assistant  # most gateways announce nothing

        paths = loader.paths_of(interfaces)
        section = data["home_assistant"]
        home_assistant = load_home_assistant(context, section, name, loader.root, paths, are_all_known=are_all_known)
    log = load_log(context, data.get("log", {}), interfaces, are_all_known=are_all_known) if fits else LogOptions()
    web = load_web(context, data.get("web", False)) if fits else WebOptions()
    context.collect_secrets()
    in_plain_text = list(plain_secrets(context.document))
    context.secrets += [secret for at, secret in in_plain_text if at[0] not in ("mqtt", "web")]  # those are loaded
    context.secrets += marked_secrets(interfaces)
    if context.findings:
        raise ConfigurationError(context.masked_findings())
    context.code += loader.filters.files
    written = (outbox.file, Path(expanded(log.file)) if log.file else None)
    warnings = [*context.access_warnings(has_secret=bool(in_plain_text)),
                *(warning for file in written if file is not None for warning in _foreign_file(file))]  # fmt: skip
    return Configuration(
        file=context.path,
        name=name,
        root=loader.root,
        mqtt=mqtt,
        outbox=outbox,
        commands=commands,
        log=log,
        interfaces=interfaces,
        home_assistant=home_assistant,
        files=tuple(dict.fromkeys((*context.page_files, *context.maps, *context.code, *context.secret_files))),
        hang_limit=float(data.get("hang_limit", HANG_LIMIT)),
        management=data.get("management", False),
        web=web,
        secrets=tuple(dict.fromkeys(context.secrets)),
        notes=_bounded_notes(context.notes),
        warnings=tuple(dict.fromkeys(warnings)),
        no_folders=tuple(missing_folders(context, log, outbox)),
        hash=_hash_of((context.path, *context.page_files, *dict.fromkeys(context.maps)), context.secrets),
    )


def _hash_of(files: Iterable[Path], secrets: Iterable[str]) -> str:
    """Return the first digits of the SHA-256 of the content of `files`, one after the other; `""` if one is gone.

    Secrets count as `***`: the health document has the hash, from which a short one could be guessed otherwise.
    """
    try:
        content = b"".join([file.read_bytes() for file in files])
    except OSError:
        return ""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        content = content.replace(secret.encode(errors="surrogateescape"), b"***")
    return sha256(content).hexdigest()[:_HASH_DIGITS]


def _refuse_other_files(context: LoadContext, data: Any) -> None:
    """Raise `ConfigurationError` if the file holds no mapping at all, or is a map."""
    if not isinstance(data, dict):
        what = "a configuration is a mapping of options"
        if data is None:
            what = "the file is empty: a configuration is a mapping of options, or an INI file with a [SECTION]"
        remedy = "for example interface: {type: dummy}"
        if isinstance(data, str) and "=" in data:
            remedy = "write NAME: VALUE instead of NAME = VALUE"
        context.complain((), what, remedy)
        raise ConfigurationError(context.findings)
    if not {"interface", "interfaces"} & set(data) and {"syntax", "delivery", *FIELDS} & set(data):
        file = context.path
        remedy = f"check it with 'mqttgateway map check {file}'; a configuration refers to it by map: {file.name}"
        context.complain((), "this is a map, not a configuration", remedy)
        raise ConfigurationError(context.findings)


def _name(context: LoadContext, data: Mapping[str, Any]) -> str:
    """Return the name of the gateway: the option `name`, or the name of the file without its ending."""
    name = data.get("name", context.path.stem)
    if not isinstance(name, str) or not name:
        return "?"  # the schema check has reported it
    problem = word_problem(name)
    if problem:
        context.complain(("name",), f"{name!a} cannot be the sender of messages: {problem}", "use a plain name")
    return name


def _shipped_schemas(data: Mapping[str, Any]) -> dict[DataPath, Mapping[str, Any]]:
    """Return the schemas of those interfaces of a configuration that ship with the gateway, by their paths."""
    several = data.get("interfaces")
    interfaces: dict[DataPath, Any] = {("interface",): data.get("interface")}
    if isinstance(several, dict):
        interfaces |= {("interfaces", key): options for key, options in several.items()}
    return {
        at: interface_schema(find_interface(options["type"], Path()))
        for at, options in interfaces.items()
        if isinstance(options, dict) and any(options.get("type") == name for name in BUILT_IN)  # it may be a list
    }


def _bounded_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each of `notes` once; of very many, return the first and the number of the others."""
    distinct = tuple(dict.fromkeys(notes))
    more = len(distinct) - MAX_FINDINGS
    return distinct if more <= 0 else (*distinct[:MAX_FINDINGS], f"and {counted(more, 'more note')}")


def _foreign_file(path: Path) -> Iterator[str]:
    """Yield why the gateway would not write to the file at `path`."""
    try:
        refuse_foreign_file(path)
    except NotOwnError as err:
        yield f"{path}: {err.strerror}"
