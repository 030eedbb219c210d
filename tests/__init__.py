"""The tests. Before any of them is imported, this checks that the packages that they need are installed."""

from __future__ import annotations

from tests.support.requirements import what_to_install

if REMEDY := what_to_install():
    raise SystemExit(REMEDY)  # pytest would show any other exception as an error in one of the files of tests
