"""Random lives of an audit log against a plain list: writers, tears, destroyed keys, pruning."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.naive.log import first_wrong
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import check_log
from traceprop.audit.retention import destroy_keys, let_go
from traceprop.audit.settings import LogSettings
from traceprop.errors import AuditWarning

FACTS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1, 1), st.text(max_size=4)),
    max_size=3,
)


class LogLife(RuleBasedStateMachine):
    """Two writers of one log, as two processes are, and the list of what it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = self.folder / "grad"
        self.store.mkdir()
        self.writers = [AuditLog(self.store), AuditLog(self.store)]
        self.held: list[tuple[str, dict | None]] = []  # kind, facts while their key is there
        self.first = 0  # entries that were let go

    @rule(
        writer=st.integers(0, 1),
        kind=st.sampled_from(["query", "removal", "export", "verification"]),
        facts=FACTS,
        durable=st.booleans(),
    )
    def write(self, writer: int, kind: str, facts: dict, durable: bool) -> None:
        self._begin()
        entry = self.writers[writer].append(kind, facts, durable=durable)
        self.held.append((kind, facts))
        assert entry.serial == self.first + len(self.held) - 1

    @rule(writer=st.integers(0, 1))
    def sync(self, writer: int) -> None:
        self.writers[writer].sync()

    @rule(writer=st.integers(0, 1), days=st.integers(184, 4000))
    def set(self, writer: int, days: int) -> None:
        self._begin()
        self.writers[writer].set(LogSettings(retention_days=days))
        self.held.append(("settings", None))

    @precondition(lambda self: self.held)
    @rule(writer=st.integers(0, 1), torn=st.binary(min_size=1, max_size=30), restart=st.booleans())
    def tear(self, writer: int, torn: bytes, restart: bool) -> None:
        """A process dies while it writes; the next one finds what it left."""
        files = self.writers[0].files
        files.append(files.log, torn.replace(b"\n", b"x"))
        if restart:
            self.writers[writer] = AuditLog(self.store)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.writers[writer].append("query", {"after": "a tear"})
        assert [warning.category for warning in caught] == [AuditWarning]
        self.held += [("cut", None), ("query", {"after": "a tear"})]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.held) - 1))
        before = self.writers[0].files.log.read_bytes()
        had = self.held[place][1] is not None
        assert destroy_keys(self.store, [self.first + place]) == had
        assert self.writers[0].files.log.read_bytes() == before
        self.held[place] = (self.held[place][0], None)

    @precondition(lambda self: len(self.held) > 3)
    @rule(years=st.sampled_from([0, 20]))
    def let_old_go(self, years: int) -> None:
        gone = let_go(self.store, datetime.now(UTC) + timedelta(days=366 * years))
        assert gone == (len(self.held) - 1 if years else 0)
        if gone:
            self.held = [*self.held[gone:], ("checkpoint", None)]
            self.first += gone

    @invariant()
    def it_holds_what_was_written(self) -> None:
        if not self.held:
            return
        found = check_log(self.store)
        assert found.ok, found.reason
        assert [entry.serial for entry in found.entries] == list(
            range(self.first, self.first + len(self.held))
        )
        assert [entry.kind for entry in found.entries] == [kind for kind, _ in self.held]
        opened = [found.openings.get(entry.serial) for entry in found.entries]
        assert [o and dict(o.facts) for o in opened] == [facts for _, facts in self.held]
        if self.first == 0:
            lines = self.writers[0].files.log.read_bytes().splitlines()
            assert first_wrong(lines) is None

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _begin(self) -> None:
        if not self.held:
            self.held.append(("begin", None))


TestLogLife = LogLife.TestCase
TestLogLife.settings = settings(max_examples=25, stateful_step_count=15)
