"""The DSSE envelope: a payload, an Ed25519 signature over it, and one form for the file.

The signature is over DSSE's pre-authentication encoding of the payload's exact bytes, so nothing
is parsed before it is known to be the signer's. DSSE leaves an envelope's JSON free; here it has
one form, RFC 8785, with standard base64 and one signature, and any other is refused. That is what
makes every changed bit of a file show, in the parts that no signature covers too.

See https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md, version 1.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from traceprop.audit.canonical import canonical
from traceprop.compliance.keys import PublicKey, SigningKey
from traceprop.errors import CertificateError

PAYLOAD_TYPE = "application/vnd.in-toto+json"

_BASE64 = rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_FORM = re.compile(
    rb'\{"payload":"('
    + _BASE64
    + rb')","payloadType":"'
    # The one type that is accepted, so that no other kind of payload is ever mistaken for ours.
    + re.escape(PAYLOAD_TYPE.encode())
    + rb'","signatures":\[\{"keyid":"([0-9a-f]{64})","sig":"('
    + _BASE64
    + rb')"\}\]\}'
)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's PAE(type, body)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


class Envelope(NamedTuple):
    """A payload and who signed it how.

    Parameters
    ----------
    payload : bytes
        What is signed, to the byte.
    keyid : str
        Fingerprint of the signer's public key, 64 hex digits.
    signature : bytes
        Ed25519, over the pre-authentication encoding of the payload.
    """

    payload: bytes
    keyid: str
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return the file's content, in its one form."""
        return canonical(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [
                    {"keyid": self.keyid, "sig": base64.b64encode(self.signature).decode()}
                ],
            }
        )

    def signed_by(self, key: PublicKey) -> bool:
        """Tell whether this key's holder signed this payload."""
        return self.keyid == key.fingerprint and key.signed(
            self.signature, pre_authentication_encoding(PAYLOAD_TYPE, self.payload)
        )


def sign(payload: bytes, key: SigningKey) -> Envelope:
    """Put a payload into an envelope."""
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return Envelope(payload, key.fingerprint, signature)


def open_envelope(data: bytes) -> Envelope:
    """Read an envelope file. Its signature is not checked here.

    Raises
    ------
    CertificateError
        The bytes are not the one form of an envelope.
    """
    found = _FORM.fullmatch(data)
    if found is not None:
        payload, keyid, signature = found.groups()
        envelope = Envelope(
            base64.b64decode(payload, validate=True),
            keyid.decode(),
            base64.b64decode(signature, validate=True),
        )
        # Base64 has several spellings of one byte string; only the one we write is taken.
        if envelope.to_bytes() == data:
            return envelope
    raise CertificateError(
        "not a certificate in the one form that is signed: it was edited or written anew after "
        "signing, or is another kind of file"
    )
