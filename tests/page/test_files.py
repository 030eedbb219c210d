"""Nothing in the files of the page is there for nobody."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.page import files

STATIC = Path(files.__file__).with_name("static")
SCRIPTS = {path.name: path.read_text() for path in STATIC.glob("*.js")}


def test_whatever_a_script_exports_is_imported_and_whatever_it_imports_is_used() -> None:
    imported = set()
    for name, text in SCRIPTS.items():
        for names, source in re.findall(r"^import \{([^}]+)\} from \"\./([\w.]+)\";", text, re.MULTILINE):
            for each in map(str.strip, names.split(",")):
                imported.add((source, each))
                assert len(re.findall(rf"\b{each}\b", text)) > 1, (name, each)
    exported = {
        (name, each)
        for name, text in SCRIPTS.items()
        for each in re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.MULTILINE)
    }
    assert {each for each in exported - imported if each[1] != "open"} == set()  # open() is that of a view
    assert imported <= exported


def test_each_class_of_the_style_is_somewhere_in_the_page() -> None:
    page = " ".join([*SCRIPTS.values(), (STATIC / "index.html").read_text()])
    texts = " ".join(re.findall(r"[\"'`](.*?)[\"'`]", page)) + " ".join(re.findall(r"(\w+):", page))
    classes = set(re.findall(r"\.([a-zA-Z][\w-]*)(?=[^{}]*\{)", (STATIC / "style.css").read_text()))
    assert {each for each in classes if not re.search(rf"(?<![\w-]){each}(?![\w-])", texts)} == set()
