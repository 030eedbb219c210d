"""Installs Home Assistant into the virtual environment that runs this.

With it comes what the integrations need that start with it, MQTT's included, so that it has nothing to install later.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

# Packages without wheels, all of them plain Python. Everything else is installed from wheels: nothing is compiled.
_FROM_SOURCE = {"2026.11": "PyRIC,PyTurboJPEG", "2024.3": "PyRIC,PyTurboJPEG,fnvhash,paho-mqtt"}

# Packages that would have to be compiled, for speech, which is imported but not used: a module with this class instead.
_STUBS = {"pymicro-vad": "MicroVad", "pyspeex-noise": "AudioProcessor"}

# What the old one needs in a version that it does not name.
_BOUNDS: dict[str, list[str]] = {"2026.11": [], "2024.3": ["josepy<2"]}

# Sets in Home Assistant's bootstrap.py: what always starts; and what today's starts of itself, used or not. The tests
# use the others.
_SETS = ("DEFAULT_INTEGRATIONS", "LOGGING_AND_HTTP_DEPS_INTEGRATIONS")
_PLATFORMS = "generated/entity_platforms.py"
_USED = ("mqtt", "hassio", "api", "auth", "config", "websocket_api", "system_log", "recorder")


def main() -> None:
    release = sys.argv[1]
    _pip("--no-deps", "--only-binary", ":all:", f"homeassistant=={release}.*")
    distribution = importlib.metadata.distribution("homeassistant")
    package = Path(str(distribution.locate_file("homeassistant")))
    wanted = [requirement.replace("(", "").replace(")", "") for requirement in distribution.requires or ()]
    wanted += _BOUNDS[release]
    wanted += _requirements(package, [*_USED, *_always_started(package)])
    for requirement in [each for each in wanted if each.partition("==")[0] in _STUBS]:
        wanted.remove(requirement)
        _make_stub(package.parent, *requirement.split("=="))
    _pip("--only-binary", ":all:", "--no-binary", _FROM_SOURCE[release],
         "--constraint", str(package / "package_constraints.txt"), *wanted)  # fmt: skip


def _always_started(package: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse((package / "bootstrap.py").read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _SETS:
            names += [str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
    names += [file.stem for file in (package / "components/mqtt").glob("*.py")]  # the platforms that MQTT has
    if (package / _PLATFORMS).exists():
        for node in ast.walk(ast.parse((package / _PLATFORMS).read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names.append(str(node.value.value))
    return names


def _requirements(package: Path, integrations: list[str]) -> list[str]:
    """Return what these integrations, and those that they depend on, need from the package index."""
    seen: set[str] = set()
    requirements = []
    while integrations:
        name = integrations.pop()
        path = package / "components" / name / "manifest.json"
        if name in seen or not path.exists():
            continue
        seen.add(name)
        manifest = json.loads(path.read_text())
        requirements += manifest.get("requirements", [])
        integrations += manifest.get("dependencies", [])
    return requirements


def _make_stub(site_packages: Path, name: str, version: str) -> None:
    module = name.replace("-", "_")
    (site_packages / f"{module}.py").write_text(f"class {_STUBS[name]}:\n    pass\n")
    information = site_packages / f"{module}-{version}.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)


if __name__ == "__main__":
    main()
