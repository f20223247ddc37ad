"""Keys on disk: modes, first use, refusals, and agreement with OpenSSL's own readers."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from traceprop.compliance import keys
from traceprop.errors import CertificateError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_private_and_its_public_half_lies_beside_it(tmp_path: Path):
    path = tmp_path / "new" / "signing.key"
    key = keys.generate_key(path)
    assert key.made
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert sorted(p.name for p in path.parent.iterdir()) == ["signing.key", "signing.key.pub"]
    assert keys.load_public_key(keys.public_path(path)) == key.public
    again = keys.load_signing_key(path)
    assert not again.made
    assert again.fingerprint == key.fingerprint
    assert key.public.signed(again.sign(b"message"), b"message")
    assert not key.public.signed(again.sign(b"message"), b"another")


def test_a_key_is_private_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Even where the umask would let everyone read, and before the file has its name."""
    seen = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            seen.append(stat.S_IMODE(status.st_mode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    old = os.umask(0)
    try:
        keys.generate_key(tmp_path / "signing.key")
    finally:
        os.umask(old)
    private, public = seen
    assert private == 0o600
    assert public == 0o666


def test_public_half_and_fingerprint_are_those_of_cryptography(tmp_path: Path):
    key = keys.generate_key(tmp_path / "signing.key")
    theirs = key.private.public_key()
    pem = theirs.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert key.public.pem() == pem
    der = theirs.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.fingerprint == hashlib.sha256(der).hexdigest()
    assert load_pem_public_key(key.public.pem()) == theirs


def test_a_key_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "signing.key"
    path.write_text("precious")
    with pytest.raises(CertificateError, match="is there already"):
        keys.generate_key(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_the_public_half_of_a_key_that_is_away_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "signing.key"
    before = keys.generate_key(path).public.pem()
    path.rename(tmp_path / "offline.key")
    with pytest.raises(CertificateError, match=r"signing\.key\.pub is there already"):
        keys.generate_key(path)
    assert keys.public_path(path).read_bytes() == before
    assert not path.exists()


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, bits: int):
    path = tmp_path / "signing.key"
    keys.generate_key(path)
    path.chmod(bits)
    with pytest.raises(CertificateError, match=r"can be read or written by others.*chmod 600"):
        keys.load_signing_key(path)


def test_a_public_key_cannot_sign_whatever_its_mode(tmp_path: Path):
    keys.generate_key(tmp_path / "signing.key")
    public = tmp_path / "signing.key.pub"
    for bits in (0o644, 0o600):
        public.chmod(bits)
        with pytest.raises(CertificateError, match="is a public key, which can't sign"):
            keys.signing_key(public)


def test_a_named_key_must_be_there(tmp_path: Path):
    with pytest.raises(CertificateError, match=r"typo\.key can't be read"):
        keys.signing_key(tmp_path / "typo.key")
    assert not list(tmp_path.iterdir())


def test_a_key_named_by_the_variable_must_be_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It used to be made at the mistyped place, and to sign from there on."""
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "typo.key"))
    with pytest.raises(CertificateError, match=r"typo\.key, which TRACEPROP_SIGNING_KEY names"):
        keys.signing_key()
    assert not list(tmp_path.iterdir())
    keys.generate_key(tmp_path / "typo.key")
    assert keys.signing_key().path == tmp_path / "typo.key"


def test_the_default_key_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(keys.KEY_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys.default_key_path() == tmp_path / "traceprop" / "signing.key"
    first, second = keys.signing_key(), keys.signing_key()
    assert (first.made, second.made) == (True, False)
    assert first.fingerprint == second.fingerprint


def test_a_lost_public_half_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "signing.key"))
    key = keys.generate_key(tmp_path / "signing.key")
    public = keys.public_path(key.path)
    public.unlink()
    assert keys.signing_key().fingerprint == key.fingerprint
    assert keys.load_public_key(public) == key.public


def test_two_first_uses_at_once_sign_with_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = keys.default_key_path()
    first = keys.generate_key(path)
    with monkeypatch.context() as race:
        # The second process looked before the first one's key had its name.
        race.setattr(Path, "exists", lambda self: self != path)
        second = keys.signing_key()
    assert not second.made
    assert second.fingerprint == first.fingerprint


def test_where_the_default_key_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "mine.pem"))
    assert keys.default_key_path() == tmp_path / "mine.pem"
    monkeypatch.delenv(keys.KEY_VARIABLE)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys.default_key_path() == tmp_path / ".config" / "traceprop" / "signing.key"


def write_private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a private key in PEM form"),
        (b"hello", "not a private key in PEM form"),
        (
            Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            ),
            "protected by a passphrase",
        ),
        (
            generate_private_key(SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "not an Ed25519 key",
        ),
        (Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "not a private key"),
    ],
    ids=["empty", "text", "encrypted", "another algorithm", "raw bytes"],
)
def test_what_is_not_a_signing_key_is_refused(tmp_path: Path, content: bytes, said: str):
    with pytest.raises(CertificateError, match=said):
        keys.load_signing_key(write_private(tmp_path / "key.pem", content))


def test_what_is_not_a_public_key_is_refused(tmp_path: Path):
    key = keys.generate_key(tmp_path / "signing.key")
    with pytest.raises(CertificateError, match="is a private key"):
        keys.load_public_key(key.path)
    other = tmp_path / "other.pub"
    elliptic = generate_private_key(SECP256R1()).public_key()
    pem = key.public.pem()
    for content in (
        b"",
        b"hello",
        elliptic.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        pem.replace(b"MCow", b"MCox"),
        pem.replace(b"PUBLIC KEY", b"EC KEY"),
        pem + pem,
        b"\xff" * 100,
    ):
        other.write_bytes(content)
        with pytest.raises(CertificateError, match="not an Ed25519 public key"):
            keys.load_public_key(other)
    with pytest.raises(CertificateError, match="can't be read"):
        keys.load_public_key(tmp_path / "missing.pub")


def test_a_public_key_with_other_line_ends_is_the_same_key(tmp_path: Path):
    key = keys.generate_key(tmp_path / "signing.key")
    other = tmp_path / "other.pub"
    other.write_bytes(key.public.pem().replace(b"\n", b"\r\n") + b"\n")
    assert keys.load_public_key(other) == key.public


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match=r"key .*signing\.key can't be written"):
        keys.generate_key(tmp_path / "file" / "signing.key")


def test_openssl_makes_keys_that_sign(tmp_path: Path):
    """A key made by the bank's own OpenSSL works, and has the fingerprint that OpenSSL gives."""
    path = tmp_path / "bank.pem"
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], capture_output=True
    )
    if made.returncode:
        pytest.skip("this machine's openssl makes no Ed25519 keys")
    path.chmod(0o600)
    der = subprocess.run(
        ["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert keys.load_signing_key(path).fingerprint == hashlib.sha256(der).hexdigest()
