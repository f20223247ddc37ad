"""What is set for a store's audit log: whether it is written, and how long entries are kept.

Promise: a log is on unless someone switched it off, and every certificate says which it was.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from traceprop.audit.canonical import canonical, parse
from traceprop.audit.log_files import LogFiles
from traceprop.errors import AuditError

VARIABLE = "TRACEPROP_AUDIT_LOG"
"""Set to `off`, no log is written by this process."""

LEAST_DAYS = 184
"""Six months, whichever they are: what Article 26(6) of the EU AI Act asks for at least."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Settings of one log.

    Parameters
    ----------
    on : bool
        Whether queries, removals, exports and verifications are written down.
    retention_days : int
        How long an entry is kept at least; `LEAST_DAYS` or more.
    """

    on: bool = True
    retention_days: int = LEAST_DAYS


def settings_of(store: Path) -> LogSettings:
    """Read the settings of a store's log; the defaults, where nobody set any.

    Raises
    ------
    AuditError
        The file is damaged: whether to write is then not to be guessed.
    """
    return _read(LogFiles(store).settings)


def _read(path: Path) -> LogSettings:
    try:
        fields = parse(path.read_bytes())
        found = LogSettings(fields["on"], fields["retention_days"])
        check_settings(found)
    except FileNotFoundError:
        return LogSettings()
    except (ValueError, KeyError, TypeError, OSError) as damaged:
        raise AuditError(
            f"{path} can't be read as the settings of an audit log: set them anew with "
            f"`traceprop log set`."
        ) from damaged
    return found


class SettingsFile:
    """The settings of one log, read again only where the file is another.

    Parameters
    ----------
    path : Path
        The file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int, int, int] | None, LogSettings] | None = None

    def settings(self) -> LogSettings:
        """Return the settings; `AuditError` as `settings_of`."""
        stamp = self._stamp()
        if self._read is None or self._read[0] != stamp:
            self._read = stamp, _read(self._path)
        return self._read[1]

    def _stamp(self) -> tuple[int, int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None  # reading it says what is wrong, where something is
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_off(store: Path) -> bool:
    """Tell whether nothing is written for a store: by its settings, or in this process."""
    return switched_off_here() or not settings_of(store).on


def switched_off_here() -> bool:
    """Tell whether the environment switches logs off for this process."""
    value = os.environ.get(VARIABLE, "on")
    if value not in ("on", "off"):
        raise AuditError(f"{VARIABLE} is {value!r}: set it to on or off, or leave it out.")
    return value == "off"


def check_settings(settings: LogSettings) -> None:
    """Raise `AuditError` for settings that can't be."""
    days = settings.retention_days
    if (type(settings.on), type(days)) != (bool, int) or days < LEAST_DAYS:
        raise AuditError(
            f"An audit log keeps entries for {LEAST_DAYS} days (six months) at least, and was to "
            f"keep them for {days!r}: give a whole number of days from {LEAST_DAYS}."
        )


def settings_bytes(settings: LogSettings) -> bytes:
    """Return the content of `settings.json`."""
    return canonical({"on": settings.on, "retention_days": settings.retention_days})
