"""Builds the records of `mqtt`, `outbox`, `commands`, `web` and `log`, and checks what their schemas cannot.

A record is filled from its section by the names of the options: a new option needs no line here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_context import LoadContext
from gateway.configuration.schemas import config_schema
from gateway.configuration.settings import InterfaceOptions
from gateway.core.option_schema import record_of
from gateway.core.paths import existing_state_folder, is_folder, state_folder
from gateway.core.tls import TlsError, TlsOptions, tls_context
from gateway.core.topic import filter_problem
from gateway.errors import Finding
from gateway.logs.init_logger import LogOptions
from gateway.logs.levels import name_problem
from gateway.message import OUTCOME_WORDS, reserved_argument
from gateway.mqtt.dial import Server
from gateway.mqtt.options import MqttOptions, parse_server
from gateway.outbox.options import DISK_BYTES, MEMORY_BYTES, OutboxOptions
from gateway.routing.command_guard import CommandOptions
from gateway.web.options import LEAST_TOKEN, WebOptions, is_loopback


def load_mqtt(context: LoadContext, section: Mapping[str, Any], name: str) -> MqttOptions:
    """Return the options of the link to the broker, for a gateway called `name`; add findings to `context`."""
    section = context.with_located_files(section, config_schema()["properties"]["mqtt"])
    options = record_of(MqttOptions, section)
    _check_tls(context, options.tls)
    options = options._replace(
        client_id=options.client_id or name,
        password=_password(context, options),
        password_file=None,  # its content is in `password`, wherever that came from: a reload compares the records
        servers=tuple(_servers(context, section.get("servers", ()), options.port)),
    )
    if options.servers and "host" in section:
        what = "mutually exclusive with 'host'"
        context.complain(("mqtt", "servers"), what, "remove one of the two", at_key=True)
    if options.transport == "unix":
        options = options._replace(host=_unix_socket(context, options, section))
    elif not _is_host(options.host):
        what = f"{options.host!a} is not a host name or address"
        context.complain(("mqtt", "host"), what, "write it without scheme and port; the port is mqtt.port")
    if not options.demo_broker:
        return options
    is_local = options.host in ("127.0.0.1", "localhost", "::1") and not options.servers
    if not is_local or options.transport != "tcp":
        remedy = "set mqtt.transport to tcp" if is_local else "set mqtt.host to 127.0.0.1"
        context.complain(("mqtt", "demo_broker"), "the embedded broker serves only this machine", remedy)
    # The embedded broker supports no other version, and does not even refuse MQTT 5 properly.
    return options._replace(version="3.1.1")


def _password(context: LoadContext, options: MqttOptions) -> str | None:
    return _secret(context, ("mqtt",), "password", options.password, options.password_file)


def _secret(context: LoadContext, at: DataPath, name: str, value: str | None, file: str | None) -> str | None:
    """Return the secret that the option `name`, or that with `_file` behind it, of the section `at` gives."""
    if file is not None:
        if value is not None:
            what = f"mutually exclusive with {name!r}"
            context.complain((*at, f"{name}_file"), what, "remove one of the two", at_key=True)
        value = context.read_secret((*at, f"{name}_file"), file)
    if value:
        context.secrets.append(value)
    return value


def _check_tls(context: LoadContext, options: TlsOptions) -> None:
    if options.enabled:
        try:
            tls_context(options)
        except TlsError as err:
            context.complain(("mqtt", "tls"), str(err))
    elif options.ca_file or options.certificate_file or options.key_file:
        context.complain(("mqtt", "tls"), "files are set, but TLS is not enabled", "add enabled: true")


def _servers(context: LoadContext, texts: Iterable[str], default_port: int) -> Iterator[Server]:
    for index, text in enumerate(texts):
        try:
            server = parse_server(text, default_port)
        except ValueError as err:
            context.complain(("mqtt", "servers", index), f"{text!a}: {err}", "for example broker.home:1883")
            continue
        if not _is_host(server.host):
            context.complain(("mqtt", "servers", index), f"{server.host!a} is not a host name or address")
        yield server


def _unix_socket(context: LoadContext, options: MqttOptions, section: Mapping[str, Any]) -> str:
    if "servers" in section or "host" not in section:
        context.complain(("mqtt", "transport"), "unix needs the path of a socket", "set mqtt.host to this path")
    if options.tls.enabled:
        context.complain(("mqtt", "tls"), "a unix socket has no TLS", "set mqtt.tls.enabled to false")
    return str(context.beside(options.host))


def _is_host(text: str) -> bool:
    """Return whether `text` has the form of a host name or an address (IPv6 without brackets)."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return re.search(r"[/:@\[\]\s\x00-\x1f]", text) is None
    return True


def load_outbox(context: LoadContext, section: Mapping[str, Any], name: str, qos: int) -> OutboxOptions:
    """Return where the outbox is kept, and its limits; add findings to `context`.

    Without a choice in the configuration, it is on disk if there is a folder for the state of programs, and messages
    have QoS 1.
    """
    file_name = f"{name}.outbox"
    folder = (
        state_folder(context.environment) if context.is_run else existing_state_folder(context.environment, file_name)
    )
    has_file = "file" in section
    store: Literal["disk", "memory"] = section.get("store") or ("disk" if qos and (has_file or folder) else "memory")
    file: Path | None = None
    if store == "memory":
        if has_file:
            context.complain(("outbox", "file"), "an outbox in memory has no file", "remove one of the two options")
    elif not qos:
        context.complain(("outbox", "store"), "messages with QoS 0 are not kept on disk", "set mqtt.qos to 1")
    elif has_file:
        file = context.beside(section["file"])
    elif folder is not None:
        file = folder / file_name
    else:
        what = "this machine has no folder for the state of programs"
        context.complain(("outbox", "store"), what, "set outbox.file", at_key=True)
    options = record_of(OutboxOptions, section)
    return options._replace(
        store=store,
        file=file,
        max_bytes=section.get("max_bytes", DISK_BYTES if store == "disk" else MEMORY_BYTES),
        is_place_chosen=has_file or section.get("store") == "memory" or not qos,
    )


def load_commands(
    context: LoadContext, section: Mapping[str, Any], interfaces: Iterable[InterfaceOptions]
) -> CommandOptions:
    """Return which commands are accepted; add findings to `context`."""
    options = record_of(CommandOptions, section)
    for index, topic_filter in enumerate(options.response_topics):
        problem = filter_problem(topic_filter)
        if problem:
            what = f"{topic_filter!a}: {problem}"
            context.complain(("commands", "response_topics", index), what, "correct the filter")
    argument = options.timestamp_argument
    problems = [interface.msg_map.problem_of("argkey", options.timestamp_argument) for interface in interfaces]
    if argument in OUTCOME_WORDS:
        context.complain(("commands", "timestamp_argument"), reserved_argument(argument), "use another word")
    elif problems and all(problems):
        context.complain(("commands", "timestamp_argument"), problems[0] or "")
    return options


def load_web(context: LoadContext, section: Any) -> WebOptions:
    """Return whether and where the page is served; add findings to `context`."""
    if section is False:
        return WebOptions()
    given = section if isinstance(section, Mapping) else {}
    given = context.with_located_files(given, config_schema()["properties"]["web"])
    options = record_of(WebOptions, given)._replace(enabled=True)
    token = _secret(context, ("web",), "token", options.token, options.token_file)
    if token and (len(token) < LEAST_TOKEN or not re.fullmatch(r"[!-~]+", token)):
        where = ("web", "token_file" if options.token_file is not None else "token")
        what = f"a token has at least {LEAST_TOKEN} characters, of ASCII and without spaces"
        context.complain(where, what, "for example the output of: openssl rand -hex 16")
    if not 0 < options.port < 65536:
        context.complain(("web", "listen"), f"{options.port} is no port", "for example 127.0.0.1:8377")
    elif not token and not options.is_local:
        at = ("web", "hosts" if is_loopback(options.host) else "listen")
        remedy = "add token_file, or listen on 127.0.0.1 without hosts"
        context.complain(at, "a page that others can reach needs a token", remedy)
    wanted: dict[str, DataPath] = {"waitress": ("web",)}
    if options.metrics:
        wanted["prometheus_client"] = ("web", "metrics")
    for module, needed_at in wanted.items():
        if find_spec(module) is None:
            what = f"this needs the package {module}, which is not installed"
            context.complain(needed_at, what, f"pip install {module.replace('_', '-')}", at_key=True)
    return options._replace(token=token, token_file=None)


def load_log(
    context: LoadContext, section: Mapping[str, Any], interfaces: Iterable[InterfaceOptions], *, are_all_known: bool
) -> LogOptions:
    """Return what is logged, and where; add findings to `context`.

    If not `are_all_known`, other interfaces have errors: names in `levels` may be theirs.
    """
    options = record_of(LogOptions, section)
    names = [interface.name for interface in interfaces]
    for name in options.levels if are_all_known else ():
        problem = name_problem(name, names)
        if problem is not None:
            context.complain(("log", "levels", name), *problem, at_key=True)
    return options


def missing_folders(context: LoadContext, log: LogOptions, outbox: OutboxOptions) -> Iterator[Finding]:
    """Yield the files that the gateway would have to write in a folder that does not exist; it creates no folder."""
    for section, file in ("log", log.file), ("outbox", outbox.file if outbox.is_place_chosen else None):
        if file and not is_folder(folder := Path(file).parent):
            what = f"there is no folder {folder.absolute()}"
            yield context.document.finding((section, "file"), what, "create it, or set another file")
