"""What the loaders of a configuration share: the document, the findings in it, and the files that it uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.configuration.document import Document
from gateway.configuration.document import Path as DataPath
from gateway.configuration.file_access import (
    group_that_may_change,
    who_may_change,
    who_may_change_code,
    who_may_change_page,
    who_may_read,
)
from gateway.configuration.schema_check import with_files
from gateway.configuration.yaml_reader import variables
from gateway.core.paths import NAME, SERVICE_CONF, SERVICE_SECRETS, expanded, is_file, is_folder
from gateway.errors import MAX_FINDINGS, Finding, MoreFindings, distinct
from gateway.logs.masking import Masker

_MAX_SECRET_BYTES = 64 * 1024


class LoadContext:
    """One configuration while it is loaded: loaders add findings, notes, secrets and files to it.

    `faults` are the findings in the text of the file itself, such as an option that is given twice. `is_run` is false
    when the configuration is only inspected, and no gateway is started with it.
    """

    def __init__(
        self,
        path: Path,
        document: Document,
        environment: Mapping[str, str],
        faults: Iterable[Finding] = (),
        *,
        is_run: bool = True,
    ) -> None:
        self.path = path
        self.document = document
        self.environment = environment
        self.is_run = is_run
        self.findings = list(faults)
        self.finding_count = len(self.findings)  # of all findings; only the first of them are kept
        self.faults = {(fault.file, fault.line, fault.column) for fault in self.findings}
        self._seen: set[Finding] = set()
        self.notes: list[str] = list(map(str, document.notes))
        self.secrets: list[str] = []
        self.maps: list[Path] = []
        self.code: list[Path] = []
        self.secret_files: list[Path] = []
        self.page: Document | None = None
        """The file of the page, if there is one."""
        self.page_files: list[Path] = []
        self.words: Mapping[DataPath, Mapping[str, Mapping[str, list[str]]]] = {}
        """What the file of the page adds to the maps of interfaces, by their paths: MQTT words by field and word."""

    # --- findings

    def complain(self, path: DataPath, what: str, remedy: str = "", *, at_key: bool = False) -> None:
        """Add a finding about the value at `path`, or about its key."""
        self.add([self.document.finding(path, what, remedy, at_key=at_key)])

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings, except those that only follow from a fault in the text at the same place."""
        new = [finding for finding in findings if (finding.file, finding.line, finding.column) not in self.faults]
        self.finding_count += len(new)
        new = list(distinct(new, self._seen))
        kept = new[: max(0, MAX_FINDINGS - len(self.findings))]
        self.findings += kept
        if len(kept) < len(new):
            self.findings.append(MoreFindings(str(self.path), 0, len(new) - len(kept), "", "", ""))
            self._join_more()

    def _join_more(self) -> None:
        """Replace all counts of findings that are not kept by one."""
        more = [finding for finding in self.findings if isinstance(finding, MoreFindings)]
        self.findings = [finding for finding in self.findings if not isinstance(finding, MoreFindings)]
        self.findings.append(MoreFindings(str(self.path), 0, sum(finding.column for finding in more), "", "", ""))

    def masked_findings(self) -> Iterator[Finding]:
        """Yield the findings without the secrets that they may quote."""
        mask = Masker(self.secrets).mask
        for finding in self.findings:
            yield finding._replace(what=mask(finding.what), remedy=mask(finding.remedy))

    # --- files

    def beside(self, file: str) -> Path:
        """Return the path of `file`; a relative path starts at the folder of the configuration."""
        return self.path.parent / expanded(file)

    def locate(self, file: str) -> Path:
        """Return the path of `file` beside the configuration; if it is not there, that of a systemd credential.

        For the configuration of a service, that is also the file which its credential will be made from: so root can
        check the configuration before it is started.
        """
        path = self.beside(file)
        if is_file(path) or is_folder(path):
            return path
        folder = self.environment.get("CREDENTIALS_DIRECTORY", "")
        credentials = [Path(folder) / file] if folder else []
        if self.path.parent == SERVICE_CONF:
            credentials.append(SERVICE_SECRETS / f"{NAME}.{self.path.stem}.{file}")
        return next((credential for credential in credentials if is_file(credential)), path)

    def with_located_files(self, options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return `options` with the path of each file whose option has the format `file` in `schema`.

        Those with `writeOnly` are secrets: the files are kept for the warnings about who may read them.
        """

        def locate(file: str, option: Mapping[str, Any]) -> str:
            path = self.locate(file)
            if option.get("writeOnly"):
                self.secret_files.append(path)
            return str(path)

        return with_files(options, schema, locate)  # type: ignore[no-any-return]

    def read_secret(self, at: DataPath, file: str) -> str:
        """Return the secret in `file`, without the line end; add a finding at `at`, and return "", if that fails."""
        path = self.locate(file)
        try:
            if path.exists() and not path.is_file():
                self.complain(at, f"{path} is not a file", "write the secret into a file")
                return ""
            if path.stat().st_size > _MAX_SECRET_BYTES:
                self.complain(at, f"{path} is too large for a secret", "is it the right file?")
                return ""
            secret = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as err:  # ValueError: not UTF-8, or a path with a NUL
            reason = "not UTF-8" if isinstance(err, UnicodeDecodeError) else getattr(err, "strerror", None) or err
            self.complain(at, f"{path} cannot be read: {reason}", "check its path and permissions")
            return ""
        if not secret:
            self.complain(at, f"{path} is empty", "write the secret into it")
        self.secret_files.append(path)
        return secret

    def collect_secrets(self) -> None:
        """Add the values of environment variables in password, token and interfaces, which may hold an access code."""
        for path, raw in self.document.raw.items():
            if path[:1] in (("interface",), ("interfaces",)) or path in (("mqtt", "password"), ("web", "token")):
                self.secrets += (self.environment[name] for name in variables(raw) if name in self.environment)

    def access_warnings(self, *, has_secret: bool) -> Iterator[str]:
        """Yield which other users may change the files of the configuration, or read a secret in them.

        A group that may change a file only becomes a note, since that is often intended.
        """
        problems = [*map(who_may_change, (self.path, *self.maps)), *map(who_may_change_code, self.code)]
        problems += map(who_may_change_page, self.page_files)
        if has_secret:
            problems.append(who_may_read(self.path))
        problems += map(who_may_read, self.secret_files)
        yield from (
            str(Finding(str(problem.path), 0, 0, "", problem.what, problem.remedy)) for problem in problems if problem
        )
        for path in (self.path, *self.page_files, *self.maps, *self.code, *self.secret_files):
            access = group_that_may_change(path)
            if access is not None:
                self.notes.append(str(Finding(str(path), 0, 0, "", access.what, access.remedy)))
