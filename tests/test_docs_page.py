"""docs/page.md: its configurations load, and its proxies do what the page of a gateway needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.web.access import Access
from gateway.web.options import WebOptions
from tests.support.docs import page
from tests.support.web import TOKEN, bearer, environ

PAGE = page("docs/page.md")


def options(folder: Path, kind: str) -> WebOptions:
    """Return the option `web` of a block."""
    (folder / "page_token").touch(mode=0o600)
    (folder / "page_token").write_text(f"{TOKEN}\n")
    file = folder / "page.conf"
    file.write_text(f"root: home\ntopics: []\ninterface: {{type: dummy}}\n{PAGE.only(kind).text}")
    return load_configuration(file, {}).web


@pytest.mark.parametrize("kind", ["yaml by-token", "yaml by-proxy"])
def test_the_configurations_have_the_token_of_the_file(tmp_path: Path, kind: str) -> None:
    assert options(tmp_path, kind).token == TOKEN


def test_by_the_proxy_nothing_is_shown_without_the_token(tmp_path: Path) -> None:
    web = options(tmp_path, "yaml by-proxy")
    (host,) = web.hosts
    nginx = PAGE.only("text nginx").text
    assert f"server_name {host};" in nginx
    assert PAGE.only("text caddy").text.startswith(host)
    for text in (nginx, PAGE.only("text caddy").text):
        assert web.listen in text
    # What both send: nginx as it is told to, Caddy by itself.
    assert {"Host $host", "X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme"} <= {
        line.strip().removeprefix("proxy_set_header ").rstrip(";") for line in nginx.splitlines()
    }
    sent = {"HTTP_HOST": host, "HTTP_X_FORWARDED_FOR": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "https"}
    access = Access(web)
    assert not access.visitor(environ("/", **sent)).may_read
    visitor = access.visitor(environ("/", "POST", b"{}", **sent, **bearer(), HTTP_ORIGIN=f"https://{host}"))
    assert visitor.may_write and visitor.is_secure
