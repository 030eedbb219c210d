"""`mqttgateway diag`: writes one archive for a report of a problem, without secrets.

It works whether the gateway runs or not, and whether its configuration is valid or not.
"""

from __future__ import annotations

import argparse
import os
import time
import zipfile
from pathlib import Path

from gateway.cli.diag_parts import Part, collect
from gateway.cli.running import gateway_name
from gateway.core.counting import counted
from gateway.errors import GatewayError

_README = """\
What `mqttgateway diag` has collected about the gateway {name}, on {when}.

{contents}

Values of passwords, tokens and keys, and whatever the environment inserts into the configuration, are replaced by ***
where the program knows them. It cannot know everything: a name, a place, a word that a device expects. LOOK AT THE
FILES BEFORE YOU SEND THEM TO ANYONE.
"""


def diag(options: argparse.Namespace) -> int:
    """Write the archive, and print what is in it; return 0. Raises `GatewayError` if it cannot be written."""
    name = gateway_name(options)
    parts = collect(name, options.conf, os.environ)
    width = max(len(part.file) for part in parts)
    contents = "\n".join(f"{part.file:<{width}}  {part.what}" for part in parts)
    now = time.localtime()
    readme = _README.format(name=name, when=time.strftime("%Y-%m-%d %H:%M:%S %z", now), contents=contents)
    path = options.output or Path(f"mqttgateway-{name}-{time.strftime('%Y%m%d-%H%M%S', now)}.zip")
    _write(path, [Part("README.txt", "", readme), *parts], now)
    print(contents)  # noqa: T201
    print(  # noqa: T201
        f"\n{path}: {counted(len(parts), 'file')}, {path.stat().st_size // 1024 + 1} KiB. Secrets are replaced by ***, "
        "as far as they are known.\nLook at the files before you send them to anyone."
    )
    return 0


def _write(path: Path, parts: list[Part], now: time.struct_time) -> None:
    """Write the archive, readable for its owner only; it replaces no file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as err:
        raise GatewayError(f"{path} exists already: choose another file with -o FILE") from err
    except (OSError, ValueError) as err:  # ValueError: a NUL in its name
        reason = getattr(err, "strerror", None) or err
        raise GatewayError(f"{path} cannot be created: {reason}: choose another file with -o FILE") from err
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts:
                entry = zipfile.ZipInfo(f"{path.stem}/{part.file}", now[:6])
                entry.external_attr = 0o600 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, part.text.encode("utf-8", "backslashreplace"))
    except OSError as err:
        path.unlink()
        raise GatewayError(f"{path} cannot be written: {err.strerror}: choose another file with -o FILE") from err
