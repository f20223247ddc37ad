"""Commands about certificates: check, stamp and export them; make the key that signs them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from traceprop.errors import CertificateError


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="The signer's public key (PEM).")
def verify(certificate: Path, key: Path | None) -> None:
    """Check a certificate offline: signature, form and schema.

    Exit status 0: it holds. 1: it doesn't. 2: it couldn't be checked, for want of a file or key.
    """
    from traceprop.compliance.verify import verify as check

    try:
        verdict = check(certificate, key=key)
    except CertificateError as unasked:
        click.echo(f"Error: {unasked}", err=True)
        sys.exit(2)
    click.echo(verdict.reason, err=not verdict.ok)
    if not verdict.ok:
        sys.exit(1)


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), help="The private key; the public one is put beside."
)
def keygen(out: Path | None) -> None:
    """Make a signing key (mode 0600) and print its fingerprint."""
    from traceprop.compliance.keys import default_key_path, generate_key

    path = out or default_key_path()
    key = generate_key(path)
    click.echo(f"Private key: {path}\nPublic key: {path}.pub\nFingerprint: {key.fingerprint}")
