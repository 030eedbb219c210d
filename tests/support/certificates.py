"""Certificates made by the openssl command when a test needs them: one authority, and the certificates that it signs.

They have the extensions that RFC 5280 requires (section 4.2: key usage, key identifiers, constraints). Python 3.13 and
later demand these of certificates that the system trusts (`ssl.VERIFY_X509_STRICT`).
"""

from __future__ import annotations

import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.broker import find_tool

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

# `openssl ca` accepts both ends of a validity in every version, which a validity in the past needs.
_SETTINGS = """\
[ca]
default_ca = authority
[authority]
certificate = ca.pem
private_key = ca.key
database = database
new_certs_dir = .
default_md = sha256
rand_serial = yes
unique_subject = no
policy = names
copy_extensions = copy
x509_extensions = signed
[names]
commonName = supplied
[signed]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    """A certificate authority of one test; `ca_file` is its certificate.

    With `key_usage=False`, it has no key usage, as in the recipe of mosquitto-tls(7) that many homes use.
    """

    def __init__(self, folder: Path, *, key_usage: bool = True) -> None:
        if find_tool("openssl") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("openssl is missing: apt install openssl")
            pytest.skip("openssl is missing: apt install openssl")
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        (folder / "ca.cnf").write_text(_SETTINGS)
        (folder / "database").touch()
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign") if key_usage else ()
        self.run("req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority",
                      "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE", *usage)  # fmt: skip

    def sign(self, name: str, alternative: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """Return certificate and key for `alternative`; with negative `days` it has expired."""
        end = datetime.now(UTC) + timedelta(days=days)
        begin, until = (f"{when:%Y%m%d%H%M%SZ}" for when in (end - timedelta(days=abs(days) + 1), end))
        self.run("req", *_NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
                      "-addext", f"subjectAltName={alternative}")  # fmt: skip
        self.run("ca", "-batch", "-config", "ca.cnf", "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext",
                      "-startdate", begin, "-enddate", until)  # fmt: skip
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def server(self, name: str = "server", alternative: str = "IP:127.0.0.1", days: int = 2) -> ssl.SSLContext:
        """Return the TLS settings of a server with such a certificate."""
        return server_context(*self.sign(name, alternative, days))

    def server_signed_by_a_server(self) -> ssl.SSLContext:
        """Return the TLS settings of a server whose certificate was signed by one that may not sign."""
        middle, key = self.sign("middle")
        (forged, forged_key) = self.sign("forged")
        self.run("x509", "-req", "-in", "forged.csr", "-CA", middle.name, "-CAkey", key.name, "-out", forged.name,
                      "-days", "2", "-copy_extensions", "copy")  # fmt: skip
        forged.write_bytes(forged.read_bytes() + middle.read_bytes())
        return server_context(forged, forged_key)

    def run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
