"""An OpenID Connect issuer on loopback: keys over HTTP, and tokens signed with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

AUDIENCE = "slcolm"


class Issuer:
    """Publishes the keys in `published`; `requests` are the paths that were asked for.

    While `hold` is cleared it answers nothing; `asked` is set when something has been asked.
    """

    def __init__(self) -> None:
        self._keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("a", "b")}
        self.published = ["a"]
        self.broken = False
        self.asked, self.hold = threading.Event(), threading.Event()
        self.hold.set()
        self.requests: list[str] = []
        self.url = ""

    @property
    def keys(self) -> dict[str, Any]:
        """The JWKS document."""
        return {"keys": [self._jwk(name) for name in self.published]}

    @property
    def public_pem(self) -> bytes:
        """What everybody knows of key a."""
        public = self._keys["a"].public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def token(self, *, key: str = "a", **claims: Any) -> str:
        """A good token; claims replace its own, and None leaves one out."""
        all_claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "reader-7",
            "exp": datetime.now(UTC) + timedelta(hours=1),
            "roles": ["slcolm:read"],
            **claims,
        }
        kept = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(kept, self._keys[key], algorithm="ES256", headers={"kid": key})

    def _jwk(self, name: str) -> dict[str, Any]:
        public = json.loads(ECAlgorithm.to_jwk(self._keys[name].public_key()))
        return {**public, "kid": name, "use": "sig", "alg": "ES256"}

    @contextmanager
    def serving(self) -> Iterator[Issuer]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                issuer.asked.set()
                issuer.hold.wait(30)
                document = {
                    "/.well-known/openid-configuration": {
                        "issuer": issuer.url,
                        "jwks_uri": f"{issuer.url}/keys",
                    },
                    "/keys": issuer.keys,
                }.get(self.path)
                found = document is not None and not issuer.broken
                self.send_response(200 if found else 503)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode() if found else b"")

            def log_message(self, *args: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
