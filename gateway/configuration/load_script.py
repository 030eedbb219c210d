"""Loads the script of a simulated device: checked like a configuration, with the place of each error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.configuration.document import FaultyDocumentError
from gateway.configuration.load_map import read_text
from gateway.configuration.schema_check import check_schema, convert_substituted, fill_defaults
from gateway.configuration.yaml_reader import load_yaml
from gateway.errors import ConfigurationError, Finding, Problem


def load_script(
    path: Path,
    environment: Mapping[str, str],
    schema: Mapping[str, Any],
    check: Callable[[Mapping[str, Any]], Iterable[Problem]],
) -> Mapping[str, Any]:
    """Return the options in the YAML file at `path`, with the defaults of `schema`.

    `check` yields the problems that the schema cannot find. Raises `ConfigurationError` with all errors in the file.
    """
    findings: list[Finding] = []
    try:
        document = load_yaml(read_text(path), str(path), environment)
    except FaultyDocumentError as err:
        document = err.document
        findings += err.findings
    data = convert_substituted(document, document.data, schema)
    violations = check_schema(document, data, schema)
    findings += violations
    if not violations:
        params: Mapping[str, Any] = fill_defaults(data, schema)
        findings += (document.finding(problem.path, problem.what, problem.remedy) for problem in check(params))
        if not findings:
            return params
    raise ConfigurationError(findings)
