"""Tables of the ledger, and the way from an earlier form to this one."""

from __future__ import annotations

import sqlalchemy as sa

from slcolm_services.errors import ConfigInvalid, FieldViolation

METADATA = sa.MetaData()

FORM = sa.Table(
    "guidance_ledger_form",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)
"""One row: which form the tables have. The first form had no such table."""

ANSWERS = sa.Table(
    "guidance_answers",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.String(50), nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("sample", sa.Integer, nullable=False, server_default="0"),
    sa.Column("item_id", sa.Text, nullable=False, server_default=""),
    sa.Column("item_text", sa.Text, nullable=False, server_default=""),
)
"""What was answered; never changed. `item_*` is the text that was asked about."""

SPENDINGS = sa.Table(
    "guidance_spendings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("estimated_calls", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("call_id", sa.String(200)),
    sa.Index("guidance_spendings_call", "call_id", unique=True),
    sa.Index("guidance_spendings_digest", "digest"),
)
"""What each call cost. `call_id` is given by the caller, so that a call is booked once."""

TOTALS = sa.Table(
    "guidance_totals",
    METADATA,
    sa.Column("run_id", sa.String(200), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("estimated_calls", sa.BigInteger, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
)
"""Sums of the spendings by run; under the empty name those of everything."""

HOLDERS = sa.Table(
    "guidance_holders",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("expire_time", sa.Float),
)
"""Who holds claims: processes, which renew their time, and batches, which have no end of it.

`expire_time` (seconds since 1970) is another one after each renewal, which alone counts: clocks
jump.
"""

CLAIMS = sa.Table(
    "guidance_claims",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False, index=True),
    sa.Column("run_id", sa.String(200), nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("sample", sa.Integer, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("item_text", sa.Text, nullable=False),
)
"""Requests being asked, with what they cost at worst. A claim counts while its holder does."""

BATCHES = sa.Table(
    "guidance_batches",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(200), nullable=False),
    sa.Column("run_id", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("submitter", sa.String(64), nullable=False),
    sa.Column("file_id", sa.Text, nullable=False),
    sa.Column("remote_id", sa.Text, nullable=False),
    sa.Column("sent", sa.Integer, nullable=False),
    sa.Column("answered", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("problem", sa.Text, nullable=False),
)
"""Batches given to a provider. Their requests are claims held under the batch's id."""

_VERSION = 2


def bring_up_to_date(connection: sa.Connection) -> None:
    """Create what is missing, and bring an earlier form into this one; answers are kept.

    Raises:
        ConfigInvalid: A later version of SLCoLM has written it.
    """
    inspector = sa.inspect(connection)
    version = None
    if inspector.has_table(FORM.name):
        version = connection.scalar(sa.select(FORM.c.version))
    elif inspector.has_table(ANSWERS.name):
        version = 1
    if version is not None and version > _VERSION:
        raise ConfigInvalid(
            f"the ledger has form {version}; this version of SLCoLM knows forms up to {_VERSION}",
            violations=[FieldViolation("ledger_url", "was written by a later version of SLCoLM")],
        )
    if version == _VERSION:
        return
    if version == 1:
        _add_columns(connection, ANSWERS, ("sample", "item_id", "item_text"))
        _add_columns(connection, SPENDINGS, ("calls", "estimated_calls", "call_id"))
        for index in SPENDINGS.indexes:
            index.create(connection, checkfirst=True)
    METADATA.create_all(connection)
    if version == 1:
        _sum_up(connection)
    connection.execute(sa.delete(FORM))
    connection.execute(sa.insert(FORM).values(version=_VERSION))


def _add_columns(connection: sa.Connection, table: sa.Table, names: tuple[str, ...]) -> None:
    for name in names:
        definition = sa.schema.CreateColumn(table.c[name]).compile(connection)
        connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


def _sum_up(connection: sa.Connection) -> None:
    """Fill the totals from the spendings."""
    columns = SPENDINGS.c
    sums = (
        sa.func.count(),
        *(
            sa.func.sum(column)
            for column in (
                columns.prompt_tokens,
                columns.completion_tokens,
                columns.cached_tokens,
                columns.cost,
                columns.estimated_calls,
            )
        ),
        sa.func.min(columns.create_time),
    )
    names = [column.name for column in TOTALS.c]
    everything = sa.select(sa.literal(""), *sums).having(sa.func.count() > 0)
    by_run = sa.select(columns.run_id, *sums).where(columns.run_id != "").group_by(columns.run_id)
    for query in (everything, by_run):
        connection.execute(sa.insert(TOTALS).from_select(names, query))
