"""A certificate authority for tests, and the certificates that it issues, good and bad ones: made by `openssl`."""

import shutil
import ssl
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.servers import processes
from tests.servers.processes import LOOPBACK, ServerFailedError

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
_PRESENT: Final = ("-days", "2")


@dataclass(frozen=True, slots=True)
class Certificate:
    file: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """What a server speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context

    def fingerprint(self) -> str:
        """Its SHA-256, as hexadecimal digits."""
        return sha256(ssl.PEM_cert_to_DER_cert(self.file.read_text())).hexdigest()


class Authority:
    """`file` is what trusts it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "authority.pem"
        self._folder = folder
        self._key = folder / "authority.key"
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.file, *_PRESENT, "-subj", "/CN=test CA")

    def issue(self, name: str, *, address: str = f"IP:{LOOPBACK}", expired: bool = False) -> Certificate:
        """A certificate for a server at `address`, as OpenSSL writes an alternative name."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        _openssl("req", "-new", *_KEY, "-keyout", made.key, "-out", request, "-subj", "/CN=test server")
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {address}\nauthorityKeyIdentifier = keyid\n")
        self._sign(request, made.file, extensions, expired=expired)
        return made

    def _sign(self, request: Path, certificate: Path, extensions: Path, *, expired: bool) -> None:
        authority = ("-CA", self.file, "-CAkey", self._key, "-extfile", extensions)
        if not expired:
            _openssl("x509", "-req", "-in", request, "-out", certificate, *authority, *_PRESENT)
            return
        # Only `ca` can date a certificate back, in every version of OpenSSL; it wants a small database.
        settings = self._folder / "ca.cnf"
        (self._folder / "index.txt").touch()
        settings.write_text(
            f"[ca]\ndefault_ca = this\n[this]\ndatabase = {self._folder}/index.txt\nnew_certs_dir = {self._folder}\n"
            "rand_serial = yes\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n"
        )
        dates = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
        _openssl(
            *("ca", "-batch", "-notext", "-config", settings, "-cert", self.file, "-keyfile", self._key),
            *("-in", request, "-out", certificate, "-extfile", extensions, *dates),
        )


def _openssl(*arguments: object) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ServerFailedError("tests of TLS make their certificates with `openssl`: install it (Debian: openssl).")
    processes.run([program, *map(str, arguments)])
