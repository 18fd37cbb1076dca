"""`slcolm descriptors`: the contracts for programs that read descriptor sets."""

from __future__ import annotations

from pathlib import Path

import click

from slcolm_services.cli.output import emit_json, json_option
from slcolm_services.http.descriptors import SERVICES, descriptor_set


@click.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.",
)
@json_option
def descriptors(*, out: Path, as_json: bool) -> None:
    """Write the contracts of this version, with all that they import, as a FileDescriptorSet.

    Envoy translates JSON by it; grpcurl takes it by -protoset where reflection is not to be had.

    \b
    Example:
      slcolm descriptors --out slcolm.pb
      grpcurl -plaintext -protoset slcolm.pb 127.0.0.1:50050 list
    """
    data = descriptor_set()
    out.write_bytes(data)
    if as_json:
        emit_json({"path": str(out), "bytes": len(data), "services": list(SERVICES.values())})
    else:
        click.echo(f"{out}: {len(SERVICES)} services, {len(data):,} bytes")
