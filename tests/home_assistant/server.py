"""A Home Assistant as a process: with an owner whose token is known, connected to a broker of this machine.

What its assistant would ask for in a browser is written into its storage files instead, in the oldest form that today's
release still reads. It must run where nothing else listens on its port, and nothing is to be found on the network:
`python -m tests.home_assistant` moves into a network namespace of its own for that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.home_assistant.api import Api
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
RELEASES = {"2026.11": "forky", "2024.3": "bookworm"}  # and the release of Debian whose Python it needs
PORT = 8123

_TOKEN_ID = "0" * 32
_KEY = "1" * 128
_ENTRY_OF_LOG = re.compile(r"\S+ \S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) \(")
_OWN = ("Support for the running Python version",)  # 2024.3 about Python 3.11: of this installation


def prepare(release: str) -> int:
    """Install a release where it is missing; return 3, after saying why on standard error, where that cannot be."""
    return subprocess.run([HERE / "tree.sh", release, "prepare"], check=False).returncode


class HomeAssistant:
    """Home Assistant of a release that is prepared; its configuration, and so its memory, lasts until it is closed."""

    def __init__(self, release: str, broker_port: int, protocol: str = "5") -> None:
        self.release = release
        self._tree = HERE.parents[1] / ".trees" / RELEASES[release]
        self.folder = Path(tempfile.mkdtemp(prefix="home-assistant-", dir=self._tree / "var/tmp"))
        self._out = self.folder / "out"
        self._process: subprocess.Popen[bytes] | None = None
        self._write_configuration(broker_port, protocol)
        self.api = Api(f"http://127.0.0.1:{PORT}", _token())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    # --- its life

    def start(self, timeout: float = 120) -> float:
        """Start it, and return after how many seconds it was running."""
        began = time.monotonic()
        with self._out.open("ab") as out:
            folder = f"/{self.folder.relative_to(self._tree)}"
            command = [str(HERE / "tree.sh"), self.release, "run", folder]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(self._is_running, timeout, lambda: f"Home Assistant to run:\n{self.output}", pause=0.05)
        self.api.open()
        return time.monotonic() - began

    def stop(self, timeout: float = 60) -> float:
        """End it as its users do, and return how many seconds that took."""
        assert self._process is not None
        began = time.monotonic()
        self.api.close()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        self._process = None
        assert code == 0, f"Home Assistant ended with {code}:\n{self.output}"
        return time.monotonic() - began

    def kill(self) -> None:
        """End it at once, without a chance to save anything."""
        self.api.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> float:
        """Stop and start it; return how many seconds it was away."""
        return self.stop() + self.start()

    def resident(self) -> int:
        """Return the memory that it has in use, in bytes."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])

    def _is_running(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Home Assistant ended with {self._process.returncode}:\n{self.output}"
        try:
            return bool(self.api.get("config")["state"] == "RUNNING")
        except (OSError, urllib.error.HTTPError):
            return False

    # --- what it says

    @property
    def output(self) -> str:
        """All that it has logged, over all its starts."""
        return self._out.read_text(errors="replace")

    def problems(self) -> list[str]:
        """Return its log's warnings and errors, each with its traceback, over all its starts."""
        entries: list[str] = []
        for line in self.output.splitlines():
            if _ENTRY_OF_LOG.match(line) or not entries:
                entries.append(line)
            else:
                entries[-1] += f"\n{line}"
        return [entry for entry in entries if not any(own in entry for own in _OWN)]

    # --- how it is set up

    def _write_configuration(self, broker_port: int, protocol: str) -> None:
        # No second factor for its login: that alone needs packages without wheels.
        (self.folder / "configuration.yaml").write_text("homeassistant:\n  auth_mfa_modules: []\n")
        (self.folder / ".storage").mkdir()
        user, now = "2" * 32, "2026-01-01T00:00:00+00:00"
        owner = {"id": user, "group_ids": ["system-admin"], "is_owner": True, "is_active": True, "name": "Owner",
                 "system_generated": False, "local_only": False}  # fmt: skip
        token = {"id": _TOKEN_ID, "user_id": user, "client_id": None, "client_name": "tests", "client_icon": None,
                 "token_type": "long_lived_access_token", "created_at": now, "access_token_expiration": 315360000.0,
                 "token": "3" * 128, "jwt_key": _KEY, "last_used_at": None, "last_used_ip": None, "expire_at": None,
                 "credential_id": None, "version": None}  # fmt: skip
        groups = [{"id": f"system-{name}", "name": name} for name in ("admin", "users", "read-only")]
        broker = {"broker": "127.0.0.1", "port": broker_port, "protocol": protocol}
        entry = {"entry_id": "4" * 32, "version": 1, "domain": "mqtt", "title": "broker", "data": broker,
                 "source": "user"}  # fmt: skip
        self._store("auth", 1, {"users": [owner], "groups": groups, "credentials": [], "refresh_tokens": [token]})
        self._store("onboarding", 4, {"done": ["user", "core_config", "analytics", "integration"]})
        self._store("core.config_entries", 1, {"entries": [entry]})

    def _store(self, key: str, version: int, data: dict[str, Any]) -> None:
        document = {"version": version, "minor_version": 1, "key": key, "data": data}
        (self.folder / ".storage" / key).write_text(json.dumps(document))


def _token() -> str:
    """Return the owner's token: a JWT (RFC 7519)."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    content = encode(json.dumps({"iss": _TOKEN_ID, "iat": 1767225600, "exp": 4102444800}).encode())
    signature = hmac.digest(_KEY.encode(), f"{header}.{content}".encode(), hashlib.sha256)
    return f"{header}.{content}.{encode(signature)}"
