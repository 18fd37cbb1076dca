"""Write Envoy's configurations of deploy/http, or check that they are up to date.

Usage: python scripts/envoy.py [--check]

They are what `slcolm http` makes of its template for services where Kubernetes has them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from slcolm_services.http.descriptors import SERVICES
from slcolm_services.http.front import Address, Front

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "http"
PORTS = {
    "coordinator": 50050,
    "extraction": 50051,
    "retrieval": 50052,
    "guidance": 50053,
    "evaluation": 50054,
    "training": 50055,
}


def configurations() -> dict[Path, str]:
    """What the files should hold."""
    return {
        FOLDER / name: Front(
            addresses={role: Address(f"slcolm-{role}", PORTS[role]) for role in SERVICES},
            descriptors="/descriptors/slcolm.pb",
            host="0.0.0.0",
            secrets=secrets,
            health_port=8080,
            metrics_port=9464,
        ).configuration()
        for name, secrets in (("envoy.yaml", ""), ("envoy-mtls.yaml", "/etc/envoy"))
    }


def main() -> int:
    """Run the command line."""
    stale = [
        path
        for path, text in configurations().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"out of date: deploy/http/{path.name} (run `make http`)", file=sys.stderr)
        return 1 if stale else 0
    for path, text in configurations().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
