"""Signing, checking and exporting a certificate, and what importing the verifier costs."""

from __future__ import annotations

import subprocess
import sys

from tests.compliance import standins
from traceprop.audit.canonical import canonical
from traceprop.compliance.envelope import Envelope, sign
from traceprop.compliance.export import FORMATS, export_statement
from traceprop.compliance.verify import verify_bytes


class Certificate:
    """A certificate of three samples, in memory."""

    def setup(self) -> None:
        self.key = standins.key()
        self.statement = standins.statement(signer=self.key)
        self.data = standins.certificate(self.key)
        payload = canonical(self.statement)
        strange = sign(payload, standins.key(1)).signature
        self.forged = Envelope(payload, self.key.fingerprint, strange).to_bytes()

    def time_sign(self) -> None:
        sign(canonical(self.statement), self.key).to_bytes()

    def time_verify(self) -> None:
        verify_bytes(self.data, self.key.public)

    def time_refuse(self) -> None:
        verify_bytes(self.forged, self.key.public)


class Exports:
    """One certificate in each format."""

    params = FORMATS
    param_names = ("format",)

    def setup(self, name: str) -> None:
        self.statement = standins.statement(signer=standins.key())
        self.data = standins.certificate()

    def time_export(self, name: str) -> None:
        export_statement(name, self.statement, self.data)


class Import:
    """A fresh process that imports the verifier; most of it is Python's own start."""

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import traceprop.compliance.verify"], check=True)
