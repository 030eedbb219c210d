"""The files of the page, which lie in `static/`: each under its name, with what identifies its content."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from gateway.web.app import Content, Route

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def file_routes() -> dict[tuple[str, str], Route]:
    """Return the addresses of all files; `/` is that of `index.html`. They are read once."""
    contents = {path.name: _content(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}
    routes = {("GET", f"/{name}"): _route(content) for name, content in contents.items()}
    return {**routes, ("GET", "/"): _route(contents["index.html"])}


def _content(path: Path) -> Content:
    data = path.read_bytes()
    return Content(_TYPES[path.suffix], data, f'"{sha256(data).hexdigest()[:16]}"')


def _route(content: Content) -> Route:
    return Route(lambda _: content, is_public=True)
