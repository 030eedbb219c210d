"""Certificates made by the openssl command when a test needs them: one authority, and what it signs."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.broker import find_tool

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A certificate authority of one test; `ca_file` is its certificate."""

    def __init__(self, folder: Path) -> None:
        if find_tool("openssl") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("openssl is missing: apt install openssl")
            pytest.skip("openssl is missing: apt install openssl")
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        self.run("req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority",
                      "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip

    def sign(self, name: str, alternative: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """Return certificate and key for `alternative`; with negative `days` it has expired."""
        self.run("req", *_NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
                      "-addext", f"subjectAltName={alternative}")  # fmt: skip
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out",
                      f"{name}.pem", "-days", str(days), "-copy_extensions", "copy")  # fmt: skip
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def server(self, name: str = "server", alternative: str = "IP:127.0.0.1", days: int = 2) -> ssl.SSLContext:
        """Return the TLS settings of a server with such a certificate."""
        return server_context(*self.sign(name, alternative, days))

    def run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
