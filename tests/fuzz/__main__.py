"""Look for inputs that break a promise, guided by coverage.

    cd tests && python -m fuzz jsonl --seconds 300

Needs atheris (dependency group `fuzz`). An input that breaks a promise is written to `--corpus`
and named in the output; running `python -m fuzz jsonl FILE` repeats it. Further options go to
libFuzzer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run one target."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("target")
    parser.add_argument("inputs", nargs="*", type=Path, help="inputs to repeat, and nothing else")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="folder of inputs that lead somewhere new")
    arguments, further = parser.parse_known_args()
    # Before the modules under test: atheris instruments what is imported inside.
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["slcolm_services", "json_repair", "tomllib"]):
        from fuzz.inputs import TOKENS
        from fuzz.targets import TARGETS
    if arguments.target not in TARGETS:
        sys.exit(f"no target {arguments.target}; there are: {' '.join(TARGETS)}")
    target = TARGETS[arguments.target]
    if arguments.inputs:
        for path in arguments.inputs:
            target.check(path.read_bytes())
        return
    corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix=f"fuzz-{arguments.target}-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    tokens = corpus.with_name(f"{corpus.name}.dict")
    tokens.write_text("".join(f'"{_quoted(token)}"\n' for token in TOKENS if len(token) < 64))
    atheris.Setup(
        [
            sys.argv[0],
            os.fspath(corpus),
            f"-max_total_time={arguments.seconds}",
            f"-dict={tokens}",
            f"-artifact_prefix={corpus.with_name(corpus.name)}-",
            # A second for input of a few KiB is a finding; so are 4 GiB.
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            *further,
        ],
        target.check,
    )
    atheris.Fuzz()


def _quoted(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
