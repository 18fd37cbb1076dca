"""TLS of a server, out of files that may be replaced while it serves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.reloading import Reloading


def server_credentials(
    certificate: Path, key: Path, client_ca: Path | None
) -> grpc.ServerCredentials:
    """Credentials that follow their files: each new connection gets what they hold then.

    Files that can no longer be used leave the last good ones in force, and the log says so.

    Args:
        certificate: PEM file of the certificate, with its chain.
        key: PEM file of its private key.
        client_ca: PEM file of authorities; a client must show a certificate of one of them. None:
            it needs none.

    Raises:
        ConfigInvalid: A file cannot be used; `violations` names its setting.
    """
    paths = [certificate, key] if client_ca is None else [certificate, key, client_ca]
    files = Reloading("TLS certificate", paths, lambda: _read(certificate, key, client_ca))
    given = files.get()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        current = files.get()
        if current is given:
            return None
        given = current
        return current

    return grpc.dynamic_ssl_server_credentials(
        given,
        changed,  # type: ignore[arg-type]  # None, for no change, is missing from the stub
        require_client_authentication=client_ca is not None,
    )


def _read(
    certificate: Path, key: Path, client_ca: Path | None
) -> grpc.ServerCertificateConfiguration:
    """The files as gRPC takes them, which itself would fail at each handshake and not say why."""
    found = {
        "tls_certificate": _bytes("tls_certificate", certificate),
        "tls_key": _bytes("tls_key", key),
    }
    own = _certificates("tls_certificate", certificate, found["tls_certificate"])[0]
    if own.not_valid_after_utc <= datetime.now(UTC):
        raise _invalid("tls_certificate", certificate, f"has expired at {own.not_valid_after_utc}")
    try:
        private = load_pem_private_key(found["tls_key"], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The reason may quote the file.
        problem = "holds no private key in PEM form that is not encrypted"
        raise _invalid("tls_key", key, problem) from error
    try:
        fits = private.public_key() == own.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        problem = "has a public key of an unknown kind"
        raise _invalid("tls_certificate", certificate, problem) from error
    if not fits:
        raise _invalid("tls_key", key, f"is not the key of {certificate}")
    authorities = None
    if client_ca is not None:
        authorities = _bytes("tls_client_ca", client_ca)
        _certificates("tls_client_ca", client_ca, authorities)
    return grpc.ssl_server_certificate_configuration(
        [(found["tls_key"], found["tls_certificate"])], root_certificates=authorities
    )


def _bytes(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _invalid(setting, path, f"cannot be read: {error.strerror}") from error


def _certificates(setting: str, path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise _invalid(setting, path, "holds no certificate in PEM form") from error


def _invalid(setting: str, path: Path, problem: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"{setting}: {path} {problem}",
        violations=[FieldViolation(f"[server] {setting}", f"{path} {problem}")],
    )
