"""How commands reach services that are running already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from slcolm_client import Security, TokenFile
from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret, load_section


@dataclass(frozen=True)
class ClientConfig:
    """`SLCOLM_CLIENT_...` in the environment: what commands call services with.

    Attributes:
        tls: Use TLS. It is used too where one of the next three is given.
        ca: PEM file of the authorities that the service's certificate must come from.
        certificate: PEM file of a client certificate.
        key: PEM file of its key.
        token: Bearer token.
        token_file: File that holds it.
        token_over_plaintext: Send it to other machines without TLS too.
    """

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Secret | None = None
    token_file: Path | None = None
    token_over_plaintext: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and self.token_file is not None:
            problem = "goes without token: which of them is meant?"
            raise ConfigInvalid(
                f"token_file {problem}", violations=[FieldViolation("token_file", problem)]
            )


def client_security() -> Security:
    """What the environment says of calls to services.

    Raises:
        ConfigInvalid: A variable cannot be used.
    """
    config = load_section(ClientConfig, "client", path=None, environ=os.environ)
    return Security(
        tls=config.tls,
        ca=config.ca,
        certificate=config.certificate,
        key=config.key,
        token=TokenFile(config.token_file) if config.token_file is not None else config.token,
        token_over_plaintext=config.token_over_plaintext,
    )
