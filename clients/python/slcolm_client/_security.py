"""How a channel is secured: TLS, and the token that its calls carry."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from slcolm_client._errors import invalid_argument, misused

Pem = Path | bytes
"""A PEM file, or what it holds."""

Token = str | Callable[[], str]
"""A bearer token, or what gives one; that is called for every attempt of a call: be quick."""

_TOKEN_FORM = re.compile(r"[!-~]+")
_LIST_SCHEMES = ("ipv4", "ipv6")


@dataclass(frozen=True)
class Security:
    """How calls are secured. Nothing set: plain text and no token.

    Attributes:
        tls: Use TLS. It is used too where one of the next three is given.
        ca: Authorities that the server's certificate must come from; None: those that gRPC brings.
        certificate: The client's own certificate with its chain, for servers that ask for one.
        key: Its private key.
        token: Bearer token of every call, or what gives it, for example a `TokenFile`. Not shown
            by `repr`.
        token_over_plaintext: Send the token without TLS to other machines too. Whoever sees it
            on the way can use it.
    """

    tls: bool = False
    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = field(default=None, repr=False)
    token: Token | None = field(default=None, repr=False)
    token_over_plaintext: bool = False

    @property
    def uses_tls(self) -> bool:
        """Whether the channel is one of TLS."""
        return self.tls or any((self.ca, self.certificate, self.key))


PLAINTEXT = Security()
"""No TLS and no token: for services on this machine."""


@dataclass(frozen=True)
class TokenFile:
    """Gives the token that a file holds, read for every call: it may be replaced at any time.

    Attributes:
        path: The file.
    """

    path: Path

    def __call__(self) -> str:
        """The token.

        Raises:
            FailedPrecondition: It cannot be read, with the reason `TOKEN_UNUSABLE`.
        """
        try:
            return self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise misused("TOKEN_UNUSABLE", f"{self.path} cannot be read: {error}") from error


def channel_credentials(security: Security) -> grpc.ChannelCredentials | None:
    """TLS credentials; None for plain text. Reads the files.

    Raises:
        InvalidArgument: A file cannot be read or is no PEM, or of certificate and key one is given.
    """
    if not security.uses_tls:
        return None
    if (security.certificate is None) != (security.key is None):
        raise invalid_argument("security.certificate", "and security.key must be given together")
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("security.ca", security.ca),
        private_key=_pem("security.key", security.key),
        certificate_chain=_pem("security.certificate", security.certificate),
    )


def _pem(name: str, source: Pem | None) -> bytes | None:
    # gRPC takes anything, and fails at each handshake.
    if source is None:
        return None
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise invalid_argument(name, f"cannot be read: {error}") from error
    if b"-----BEGIN " not in data:
        raise invalid_argument(name, "holds nothing in PEM form")
    return data


def refuse_exposed_token(address: str, security: Security) -> None:
    """Refuse a channel on which others could read the token.

    Raises:
        FailedPrecondition: With the reason `TOKEN_OVER_PLAINTEXT`.
    """
    if security.token is None or security.uses_tls or security.token_over_plaintext:
        return
    if not is_local(address):
        raise misused(
            "TOKEN_OVER_PLAINTEXT",
            f"a token would go to {address} in plain text: give a ca or tls=True, or "
            "token_over_plaintext=True where nobody else can read it",
        )


def is_local(address: str) -> bool:
    """Whether every address of a gRPC target is surely on this machine. No name is looked up."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    if colon and scheme in _LIST_SCHEMES:
        return all(_is_loopback(part) for part in rest.split(","))
    if address.startswith("dns:"):
        # dns://SERVER/HOST asks a name server that may say anything; dns:HOST and dns:///HOST not.
        address = rest.removeprefix("///")
    return _is_loopback(address)


def _is_loopback(endpoint: str) -> bool:
    host = endpoint
    if endpoint.startswith("["):
        host = endpoint[1:].partition("]")[0]
    elif endpoint.count(":") == 1:
        host = endpoint.partition(":")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearer(token: Token) -> tuple[str, str]:
    """Metadata that carries a token.

    Raises:
        FailedPrecondition: It cannot be one, with the reason `TOKEN_UNUSABLE`. It is not shown.
    """
    value = token() if callable(token) else token
    if not isinstance(value, str) or not _TOKEN_FORM.fullmatch(value):
        raise misused(
            "TOKEN_UNUSABLE", "a token must be letters, digits and signs of ASCII, without spaces"
        )
    return ("authorization", f"Bearer {value}")
