from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.tls import TlsError, TlsOptions, tls_context
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_certificate_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"cannot be set up with .*no-ca.pem: .*No such file.*check these files"):
        tls_context(TlsOptions(enabled=True, ca_file=str(tmp_path / "no-ca.pem")))


def test_a_certificate_file_without_a_certificate(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate\n")
    with pytest.raises(TlsError, match=r"cannot be set up with .*ca.pem"):
        tls_context(TlsOptions(enabled=True, ca_file=str(file)))


def test_a_key_that_is_encrypted_is_refused_and_not_asked_for(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign("client", "DNS:gateway.example")
    locked = tmp_path / "locked.key"
    authority.run("pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    options = TlsOptions(enabled=True, certificate_file=str(certificate), key_file=str(locked))
    with pytest.raises(TlsError, match="the key is encrypted: store it unencrypted"):
        tls_context(options)


def test_a_key_of_another_certificate(authority: Authority) -> None:
    certificate, _ = authority.sign("client", "DNS:gateway.example")
    _, key = authority.sign("other", "DNS:gateway.example")
    with pytest.raises(TlsError, match=r"cannot be set up with .*client.pem.*other.key"):
        tls_context(TlsOptions(enabled=True, certificate_file=str(certificate), key_file=str(key)))
