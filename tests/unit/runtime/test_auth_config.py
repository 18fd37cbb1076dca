"""Settings that would let others in, or nobody, are refused before anything listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.auth_config import AuthConfig, is_safe_url
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.exposure import refuse_exposed

TLS = {"tls_certificate": Path("a"), "tls_key": Path("b")}
MUTUAL = {**TLS, "tls_client_ca": Path("c")}
TOKENS = AuthConfig(tokens_file=Path("tokens.toml"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"jwt_issuer": "https://a.example"}, "jwt_audience"),
        ({"jwt_audience": "x"}, "jwt_issuer"),
        ({"jwt_keys": "x"}, "jwt_issuer"),
        ({"jwt_issuer": "http://a.example", "jwt_audience": "x"}, "jwt_issuer"),
        ({"jwt_issuer": "a", "jwt_audience": "x", "jwt_keys": "http://a.example"}, "jwt_keys"),
        ({"jwt_issuer": "a", "jwt_audience": "x", "jwt_keys": "ftp://a.example"}, "jwt_keys"),
        (
            {"jwt_issuer": "https://a", "jwt_audience": "x", "jwt_roles_claim": ""},
            "jwt_roles_claim",
        ),
        ({"jwt_leeway_seconds": -1.0}, "jwt_leeway_seconds"),
    ],
)
def test_half_a_setting_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        AuthConfig(**settings)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"tls_certificate": Path("a")}, "tls_key"),
        ({"tls_key": Path("a")}, "tls_certificate"),
        ({"tls_client_ca": Path("a")}, "tls_client_ca"),
        ({"health_port": 70_000}, "health_port"),
    ],
)
def test_half_of_tls_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        ServerConfig(**settings)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/keys", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/keys", True),
        ("http://[::1]/keys", True),
        ("http://a.example", False),
        ("http://localhost.example", False),
        ("https://", False),
        ("file:///etc/keys", False),
        ("http://[", False),
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.10"])
def test_loopback_needs_nothing(host: str) -> None:
    refuse_exposed(ServerConfig(host=host), AuthConfig())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "10.0.0.7", "", "localhost.example"])
@pytest.mark.parametrize(
    ("settings", "auth", "missing"),
    [
        ({}, AuthConfig(), {"tls_certificate", "tokens_file"}),
        (TLS, AuthConfig(), {"tokens_file"}),
        ({}, TOKENS, {"tls_certificate"}),
        (TLS, TOKENS, set()),
        (MUTUAL, AuthConfig(), set()),
        ({"allow_unprotected": True}, AuthConfig(), set()),
    ],
)
def test_elsewhere_needs_tls_and_to_know_who_calls(
    host: str, settings: dict[str, Any], auth: AuthConfig, missing: set[str]
) -> None:
    config = ServerConfig(host=host, **settings)
    if not missing:
        refuse_exposed(config, auth)
        return
    with pytest.raises(ConfigInvalid) as caught:
        refuse_exposed(config, auth)
    message = caught.value.message
    assert {name for name in ("tls_certificate", "tokens_file") if name in message} == missing
    assert "allow_unprotected = true" in message
    assert caught.value.violations[0].field == "[server] host"
