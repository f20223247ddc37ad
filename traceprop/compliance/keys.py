"""Ed25519 keys: where they live, how they are made, and what a file must be to be trusted as one.

Promise: a private key is never readable by others, not even while it is being written, and one
that others can read is refused. The public key lies beside it as `<name>.pub`. A key's fingerprint
is the SHA-256 of its public key in DER form, which `openssl pkey -pubin -outform DER -in <name>.pub
| sha256sum` prints too.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from traceprop.errors import CertificateError
from traceprop.files import write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE = "TRACEPROP_SIGNING_KEY"

# RFC 8410: every Ed25519 public key is these 12 bytes and the 32 of its point. Read here, since
# importing cryptography's own PEM reader takes longer (15 ms) than all the rest of a verification.
_PUBLIC_DER = bytes.fromhex("302a300506032b6570032100")
_PUBLIC_PEM = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*"
)
_LARGEST_KEY_FILE = 65_536


class PublicKey(NamedTuple):
    """A public key that signatures are checked with.

    Parameters
    ----------
    raw : bytes
        The 32 bytes of the key's point.
    """

    raw: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key in DER form, 64 hex digits: what a certificate calls `keyid`."""
        return hashlib.sha256(_PUBLIC_DER + self.raw).hexdigest()

    def pem(self) -> bytes:
        """Return the key as a PEM file's content."""
        body = base64.b64encode(_PUBLIC_DER + self.raw)
        return b"-----BEGIN PUBLIC KEY-----\n" + body + b"\n-----END PUBLIC KEY-----\n"

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Tell whether the key's holder signed exactly this message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey(NamedTuple):
    """A private key, where it lies, and whether it was made just now."""

    private: Ed25519PrivateKey
    path: Path
    made: bool = False

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.private.public_key().public_bytes_raw())

    @property
    def fingerprint(self) -> str:
        """The public half's fingerprint."""
        return self.public.fingerprint

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""
        return self.private.sign(message)


def default_key_path() -> Path:
    """Where the signing key is kept when none is named.

    `TRACEPROP_SIGNING_KEY` if set, else `traceprop/signing.key` in the user's configuration folder
    (`XDG_CONFIG_HOME`, or `~/.config`).
    """
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named)
    configuration = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(configuration) if configuration else Path.home() / ".config"
    return folder / "traceprop" / "signing.key"


def public_path(path: Path) -> Path:
    """Where the public half of the key at `path` is written."""
    return path.with_name(path.name + ".pub")


def signing_key(path: str | Path | None = None) -> SigningKey:
    """Open the key that signs, or make it at first use.

    Parameters
    ----------
    path : str or Path, optional
        A private key file, which must be there: a mistyped name must not make a new key. Left
        out, the one that `TRACEPROP_SIGNING_KEY` names, which must be there too; without that
        the key in the user's configuration folder, which is made if it isn't there.

    Raises
    ------
    CertificateError
        The file is missing, is not an unencrypted Ed25519 private key, or others can read it.
    """
    if path is not None:
        return load_signing_key(Path(path))
    default = default_key_path()
    if not default.exists() and os.environ.get(KEY_VARIABLE):
        raise CertificateError(
            f"There is no signing key at {default}, which {KEY_VARIABLE} names: correct it, or "
            f"make the key with `traceprop keygen --out {default}`."
        )
    if not default.exists():
        made = _make_key(default)
        if made is not None:
            return made
        # Another process made it in between: both sign with the one that is there.
    key = load_signing_key(default)
    # Whoever made it may have been stopped before its public half was written.
    if not public_path(default).exists():
        _write_public(key)
    return key


def generate_key(path: str | Path) -> SigningKey:
    """Make a signing key: mode 0600, in a folder made with mode 0700 if it isn't there.

    Raises
    ------
    CertificateError
        There is a file of that name, or of its public half's, already (it is left as it is), or the
        folder can't be written.
    """
    if public_path(Path(path)).exists():
        raise CertificateError(
            f"{public_path(Path(path))} is there already, and may be all that is left to check "
            "another key's certificates with: name another file."
        )
    made = _make_key(Path(path))
    if made is None:
        raise CertificateError(
            f"{path} is there already: name another file, a key is never replaced."
        )
    return made


def _make_key(path: Path) -> SigningKey | None:
    """Make a key; None if there is a file of that name already."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = SigningKey(private, path, made=True)
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, pem, mode=0o600, replace=False)
    except FileExistsError:
        return None
    except OSError as failed:
        raise _unwritable(path, failed) from failed
    _write_public(key)
    return key


def _write_public(key: SigningKey) -> None:
    path = public_path(key.path)
    try:
        write_file(path, key.public.pem())
    except OSError as failed:
        raise _unwritable(path, failed) from failed


def _unwritable(path: Path, failed: OSError) -> CertificateError:
    return CertificateError(
        f"The key {path} can't be written ({failed.strerror}): make one in a folder of your own "
        f"with `traceprop keygen --out FILE`, and name it with key= or {KEY_VARIABLE}."
    )


def load_signing_key(path: Path) -> SigningKey:
    """Read a private key file.

    Raises
    ------
    CertificateError
        The file is missing, is not an unencrypted Ed25519 private key, or others can read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _read_private(path)
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError as encrypted:
        raise CertificateError(
            f"The signing key {path} is protected by a passphrase, which can't be asked for here: "
            "give an unencrypted Ed25519 key with mode 0600."
        ) from encrypted
    except (ValueError, UnsupportedAlgorithm) as damaged:
        raise CertificateError(
            f"{path} is not a private key in PEM form: make one with `traceprop keygen --out FILE`."
        ) from damaged
    if not isinstance(private, Ed25519PrivateKey):
        raise CertificateError(
            f"{path} is not an Ed25519 key: make one with `traceprop keygen --out FILE`."
        )
    return SigningKey(private, path)


def load_public_key(path: str | Path) -> PublicKey:
    """Read a public key file in PEM form.

    Raises
    ------
    CertificateError
        The file is missing, or is not an Ed25519 public key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_KEY_FILE).decode("ascii", errors="replace")
    except OSError as failed:
        raise CertificateError(
            f"The public key {path} can't be read ({failed.strerror}): give the signer's .pub file."
        ) from failed
    return parse_public_key(text, str(path))


def parse_public_key(text: str, what: str) -> PublicKey:
    """Read a public key in PEM form.

    Parameters
    ----------
    text : str
        The PEM text.
    what : str
        What to call it in an error.

    Raises
    ------
    CertificateError
        It is not an Ed25519 public key.
    """
    if "PRIVATE KEY-----" in text:
        raise CertificateError(
            f"{what} is a private key, which nobody but the signer should hold: give the public "
            "key, the file beside it that ends in .pub."
        )
    body = _PUBLIC_PEM.fullmatch(text)
    der = _decode_base64("".join(body[1].split())) if body else b""
    if len(der) != len(_PUBLIC_DER) + 32 or not der.startswith(_PUBLIC_DER):
        raise CertificateError(
            f"{what} is not an Ed25519 public key in PEM form: give the signer's .pub file."
        )
    return PublicKey(der[len(_PUBLIC_DER) :])


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _read_private(path: Path) -> bytes:
    """Read a file after making sure, on the open file itself, that only its owner can."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_LARGEST_KEY_FILE)
            if b"-----BEGIN PUBLIC KEY-----" in pem:
                raise CertificateError(
                    f"{path} is a public key, which can't sign: give the private one, the file "
                    "beside it without .pub."
                )
            if stat.S_ISREG(mode) and mode & 0o077:
                raise CertificateError(
                    f"The signing key {path} can be read or written by others (mode "
                    f"{stat.S_IMODE(mode):04o}): run `chmod 600 {path}`, and make a new key if "
                    "someone may have copied it."
                )
            return pem
    except OSError as failed:
        raise CertificateError(
            f"The signing key {path} can't be read ({failed.strerror}): name a private key "
            "file, or leave key= out to use your own, which is made at first use."
        ) from failed
