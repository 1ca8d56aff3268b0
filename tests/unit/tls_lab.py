"""A private authority, and servers on loopback that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cli.bump_lab import Server


def secure(server: Server, folder: Path) -> Path:
    """Have a server that does not run yet speak TLS; returns the certificate of the authority behind it."""
    authority, own = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    return authority


def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A private authority's certificate, and a certificate with its key for 127.0.0.1 that it signed."""
    now, keys, made = datetime.datetime.now(datetime.UTC), [], []
    for name in ("private authority", "127.0.0.1"):
        keys.append(ec.generate_private_key(ec.SECP256R1()))
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = made[0].subject if made else subject
        build = x509.CertificateBuilder(issuer, subject, keys[-1].public_key(), x509.random_serial_number())
        build = build.not_valid_before(now - datetime.timedelta(1)).not_valid_after(
            now + datetime.timedelta(9)
        )
        build = build.add_extension(x509.BasicConstraints(ca=not made, path_length=None), critical=True)
        if made:
            here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
            build = build.add_extension(here, critical=False)
        made.append(build.sign(keys[0], hashes.SHA256()))
    authority, server = tmp_path / "authority.pem", tmp_path / "server.pem"
    authority.write_bytes(made[0].public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server.write_bytes(made[1].public_bytes(serialization.Encoding.PEM) + keys[1].private_bytes(*plain))
    return authority, server
