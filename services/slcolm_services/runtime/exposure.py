"""What a service must have before it may be reached from other machines."""

from __future__ import annotations

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.loopback import is_loopback


def refuse_exposed(server: ServerConfig, auth: AuthConfig) -> None:
    """Refuse to listen where others could read calls, or anybody could make some.

    Raises:
        ConfigInvalid: It would listen beyond loopback without TLS, or without tokens and client
            certificates, and `allow_unprotected` does not say that this is wanted.
    """
    if server.allow_unprotected or is_loopback(server.host):
        return
    missing = []
    if server.tls_certificate is None:
        missing.append("TLS ([server] tls_certificate and tls_key)")
    if server.tls_client_ca is None and not auth.enabled:
        missing.append(
            "tokens ([auth] tokens_file or jwt_issuer) or client certificates "
            "([server] tls_client_ca)"
        )
    if missing:
        message = (
            f"{server.host} can be reached from other machines, and there is no "
            f"{', and no '.join(missing)}; set these, listen on 127.0.0.1, or set [server] "
            "allow_unprotected = true where something else keeps others out"
        )
        raise ConfigInvalid(message, violations=[FieldViolation("[server] host", message)])
