"""An authority of our own, and what it vouches for: a PostgreSQL behind TLS, and the settings of a broker."""

import asyncio
import shutil
import ssl
import struct
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from integration.eventlog.proxy import AnswerCuttingProxy

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

SSL_REQUEST = 80877103
REQUEST_BYTES = 8
"""PostgreSQL's protocol: a client that wants TLS says so before anything else."""


class Authority:
    """Signs the certificate of one server, for this machine."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl (`make system-deps` brings it)")
        folder.mkdir()
        self.certificate = folder / "authority.pem"
        self.server = folder / "server.pem"
        """The server's key and certificate in one file."""
        key, request, signed = (folder / name for name in ("server.key", "server.csr", "server.crt"))
        names = folder / "names"
        names.write_text(f"{NAMES}\n")
        mine = folder / "authority.key"
        _openssl("req", "-x509", *NEW_KEY, "-keyout", mine, "-out", self.certificate, "-days", "2", "-subj", "/CN=ours")
        _openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1")
        signing = ("-CA", self.certificate, "-CAkey", mine, "-CAcreateserial", "-extfile", names)
        _openssl("x509", "-req", "-in", request, *signing, "-out", signed, "-days", "2")
        self.server.write_text(key.read_text() + signed.read_text())


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TlsPostgres(AnswerCuttingProxy):
    """A PostgreSQL as its clients see one that takes TLS connections only."""

    def __init__(self, url: str, authority: Authority) -> None:
        super().__init__(url)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(authority.server)

    def url_for(self, authority: Authority) -> str:
        """The URL for clients that trust an authority and check whom they speak to."""
        address, _, _ = self.url.partition("?")
        return f"{address}?sslmode=verify-full&sslrootcert={quote(str(authority.certificate))}"

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, code = struct.unpack("!II", await reader.readexactly(REQUEST_BYTES))
        assert code == SSL_REQUEST
        writer.write(b"S")
        try:
            await writer.start_tls(self._context)
        except ssl.SSLError as error:  # the client does not trust us
            raise ConnectionError(str(error)) from error


def broker_settings(authority: Authority, user: str, password: str) -> dict[str, str]:
    """Kafka's own settings for a broker whose only door is TLS and a password."""
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    users = f'username="broker" password="{password}" user_broker="{password}" user_{user}="{password}"'
    return {
        "listener.security.protocol.map": "PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": f"{module} required {users};",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
    }
