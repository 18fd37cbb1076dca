"""Generate the Python code of the contracts, or check that the committed code is up to date.

Usage: python scripts/proto.py [--check]

`--check` lints the protos with buf, looks for changes that break users since the newest tag or
main, and compares the committed code with a fresh generation.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "clients" / "python" / "slcolm"


def generate(target: Path) -> None:
    """Generate into `target`, which becomes the parent of the package `slcolm`."""
    protos = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("slcolm/**/*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTO}",
            f"-I{PROTO / 'third_party'}",
            # As a part of our package: a top-level `inference` would be in the way of others.
            f"-Islcolm/inference/v2={PROTO / 'third_party' / 'inference'}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *protos,
            "slcolm/inference/v2/open_inference.proto",
        ],
        check=True,
        cwd=PROTO,
    )
    package = target / "slcolm"
    for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (folder / "__init__.py").write_text("")
    (package / "py.typed").write_text("")


def files(folder: Path) -> set[Path]:
    """Generated files below `folder`, relative to it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def check() -> int:
    """Lint, look for breaking changes, compare generated code. Returns an exit status."""
    buf = Path(sys.executable).with_name("buf")
    subprocess.run([buf, "lint", str(PROTO)], check=True)
    base = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "origin/main:proto/buf.yaml"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    if base.returncode == 0:
        against = f"{ROOT / '.git'}#ref=origin/main,subdir=proto"
        subprocess.run([buf, "breaking", str(PROTO), "--against", against], check=True)
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        expected, actual = files(fresh / "slcolm"), files(GENERATED)
        stale = sorted(expected ^ actual) + [
            path
            for path in sorted(expected & actual)
            if not filecmp.cmp(fresh / "slcolm" / path, GENERATED / path, shallow=False)
        ]
    for path in stale:
        print(f"out of date: clients/python/slcolm/{path} (run `make proto`)", file=sys.stderr)
    return 1 if stale else 0


def main() -> int:
    """Run the command line."""
    if "--check" in sys.argv[1:]:
        return check()
    shutil.rmtree(GENERATED, ignore_errors=True)
    generate(GENERATED.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
