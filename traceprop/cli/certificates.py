"""Commands about certificates: check, stamp and export them; make the key that signs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from traceprop.cli.common import parse_row
from traceprop.compliance.export import FORMATS
from traceprop.compliance.times import FORMAT
from traceprop.errors import CertificateError, MissingExtraError, StoreError
from traceprop.files import write_file
from traceprop.user_model import load_factory

if TYPE_CHECKING:
    from traceprop.compliance.replay import Replay
    from traceprop.compliance.verify import Verdict

F = TypeVar("F", bound=Callable[..., Any])


_certificate = click.argument("certificate", type=click.Path(path_type=Path))


def _file(name: str, help_text: str) -> Callable[[F], F]:
    return click.option(name, type=click.Path(path_type=Path), help=help_text)


_key = _file("--key", "The signer's public key (PEM).")
_policy = _file("--policy", "A trust policy: whose certificates you accept, and when.")
_holder = click.option("--holder", help="Whose certificate it must be, by the policy's name.")
_tsa_cert = _file(
    "--tsa-cert",
    "Root certificates of timestamp authorities (PEM): the timestamp beside the certificate must "
    "hold, and its time counts.",
)


@click.command()
@_certificate
@_key
@_policy
@_holder
@_tsa_cert
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store that it was made from: model, lineage, sources and audit log must agree.",
)
@_file("--model", "The weights (.npz) that it must be about.")
@click.option("--replay", is_flag=True, help="Run the removal again from the store and compare.")
@click.option(
    "--row",
    "rows",
    metavar="FILE:ROW",
    multiple=True,
    help="With --replay: a removed row, each of them, where the certificate's key is gone.",
)
@click.option(
    "--factory",
    metavar="MODULE:FUNCTION",
    help="With --replay: your function that returns an untrained model, as for `unlearn --model`.",
)
def verify(
    certificate: Path,
    key: Path | None,
    policy: Path | None,
    holder: str | None,
    tsa_cert: Path | None,
    store: Path | None,
    model: Path | None,
    replay: bool,
    rows: tuple[str, ...],
    factory: str | None,
) -> None:
    """Check a certificate offline: signature, form and schema, whose it is and when it was signed.

    With the store and the model at hand, hold it against them, too. That check is written into the
    store's audit log.

    Exit status 0: it holds. 1: it doesn't. 2: it couldn't be checked, for want of a file or key.
    """
    if (rows or factory) and not replay:
        raise click.UsageError("--row and --factory are for --replay.")
    if replay and store is None:
        raise click.UsageError("--replay needs --store, the folder of the gradient store.")
    how = _how(rows, factory) if replay else None
    verdict = _check(
        certificate, key, policy, holder, tsa_cert=tsa_cert, store=store, model=model, replay=how
    )
    click.echo(verdict.reason, err=not verdict.ok)
    if not verdict.ok:
        sys.exit(1)


def _how(rows: tuple[str, ...], factory: str | None) -> Replay:
    from traceprop.compliance.replay import Replay

    named: dict[str, list[int]] = {}
    for row in rows:
        name, number = parse_row(row)
        named.setdefault(name, []).append(number)
    return Replay(named or None, load_factory(factory) if factory else None)


def _check(
    certificate: Path,
    key: Path | None,
    policy: Path | None,
    holder: str | None = None,
    *,
    tsa_cert: Path | None,
    store: Path | None = None,
    model: Path | None = None,
    replay: Replay | None = None,
) -> Verdict:
    """Verify a certificate; exit with status 2 where that can't be done."""
    from traceprop.compliance.verify import verify as check

    try:
        return check(
            certificate,
            key,
            policy=policy,
            holder=holder,
            tsa_cert=tsa_cert,
            model=None if model is None else _weights(model),
            store=store,
            replay=replay,
        )
    except (CertificateError, StoreError, MissingExtraError) as unasked:
        click.echo(f"Error: {unasked}", err=True)
        sys.exit(2)


def _weights(path: Path) -> dict[str, Any]:
    from traceprop.attribution.model_files import load_weights

    return load_weights(path)


@click.command()
@_certificate
@click.option(
    "--tsa", "url", required=True, metavar="URL", help="The timestamp authority's address."
)
@_file("--tsa-cert", "The authority's root certificates (PEM), to check its answer with.")
def timestamp(certificate: Path, url: str, tsa_cert: Path | None) -> None:
    """Have a timestamp authority (RFC 3161) prove that a certificate is there now.

    Sends the SHA-256 of the file, and writes the answer beside it, to CERTIFICATE.tsr.
    """
    from traceprop.compliance.timestamp import request_timestamp

    path, time = request_timestamp(certificate, url, tsa_cert)
    known = "" if tsa_cert else "; not checked, for want of --tsa-cert"
    click.echo(f"Timestamp: {path}\nTime: {time:{FORMAT}}, by the authority's clock{known}")


@click.command()
@_certificate
@click.option("--format", "name", type=click.Choice(FORMATS), required=True, help="Which form.")
@_file("--out", "Where to write it; left out, it is printed.")
@_key
@_policy
@_tsa_cert
def export(
    certificate: Path,
    name: str,
    out: Path | None,
    key: Path | None,
    policy: Path | None,
    tsa_cert: Path | None,
) -> None:
    """Say what a certificate says in a form that other tools read. It is verified first.

    The export is not signed, and holds no row, no person and no sealed entry: it points to the
    certificate by its digest.
    """
    from traceprop.compliance.export import export_statement

    verdict = _check(certificate, key, policy, tsa_cert=tsa_cert)
    if verdict.statement is None:
        click.echo(verdict.reason, err=True)
        sys.exit(1)
    text = json.dumps(
        export_statement(name, verdict.statement, certificate.read_bytes()),
        indent=2,
        ensure_ascii=False,
    )
    if out is None:
        click.echo(text)
        return
    try:
        write_file(out, text.encode() + b"\n", replace=False)
    except OSError as failed:
        raise CertificateError(
            f"The export can't be written to {out} ({failed.strerror}): name a new file in a "
            "folder that is there and writable."
        ) from failed
    click.echo(f"Export: {out}")


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
