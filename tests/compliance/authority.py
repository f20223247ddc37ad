"""A throw-away timestamp authority, made with `openssl`, and a server for it on the loopback."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

_SETTINGS = """
[tsa]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[leaf]
extendedKeyUsage = critical, timeStamping
"""


class Authority:
    """Root and signer in a folder of their own; answers requests with `openssl ts`.

    Parameters
    ----------
    folder : Path
        Where; made here.
    between : str or None
        What kind of certificate stands between root and signer: `root` for one that may issue
        others, `leaf` for one that may not; None for none.
    """

    def __init__(self, folder: Path, between: str | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "serial").write_text("01\n")
        self.settings = folder / "settings"
        self.settings.write_text(_SETTINGS.format(folder=folder))
        self.root = folder / "root.pem"
        self._certify("root", "root", None)
        if between is not None:
            self._certify("between", between, "root")
        self._certify("signer", "leaf", "between" if between else "root")
        self.chain = folder / "chain.pem"
        parents = [*folder.glob("between.pem"), self.root]
        self.chain.write_bytes(b"".join(path.read_bytes() for path in parents))

    def _certify(self, name: str, section: str, issuer: str | None) -> None:
        of = self.folder / f"{issuer}"
        by = ["-CA", f"{of}.pem", "-CAkey", f"{of}.key"] if issuer else []
        made = ["-newkey", "rsa:2048", "-noenc", "-keyout", str(self.folder / f"{name}.key")]
        self._openssl(
            *("req", "-x509", "-config", "/dev/null", "-days", "3650"),
            *("-subj", f"/CN={name} of a test"),
            *made,
            *("-out", str(self.folder / f"{name}.pem"), *by),
            *self._extensions(section),
        )

    def _extensions(self, section: str) -> list[str]:
        lines = _SETTINGS.partition(f"[{section}]\n")[2].partition("\n[")[0].strip().split("\n")
        return [part for line in lines for part in ("-addext", line.replace(" = ", "="))]

    @staticmethod
    def _openssl(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"openssl {arguments[0]}: {done.stderr}")

    def answer(self, request: bytes) -> bytes:
        """Stamp a request (a DER `TimeStampReq`)."""
        query, reply = self.folder / "query.tsq", self.folder / "reply.tsr"
        query.write_bytes(request)
        self._openssl(
            *("ts", "-reply", "-config", str(self.settings), "-section", "tsa"),
            *("-queryfile", str(query), "-out", str(reply)),
            *("-signer", str(self.folder / "signer.pem")),
            # With its chain, as many authorities do, in an order that DER doesn't allow.
            *("-inkey", str(self.folder / "signer.key"), "-chain", str(self.chain)),
        )
        return reply.read_bytes()

    def stamp(self, data: bytes) -> bytes:
        """Stamp some bytes."""
        path = self.folder / "data"
        path.write_bytes(data)
        query = self.folder / "own.tsq"
        self._openssl(*("ts", "-query", "-data", str(path), "-sha256", "-cert", "-out", str(query)))
        return self.answer(query.read_bytes())


@contextmanager
def serving(answers: list[bytes] | Authority) -> Iterator[str]:
    """Serve an authority, or answers prepared in advance, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            reply = answers.answer(body) if isinstance(answers, Authority) else answers.pop(0)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
