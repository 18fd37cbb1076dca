"""Whatever stands in a file, each of its rows is a row, with a text or with what is wrong."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.batch.inputs import find, format_of, inspect, read
from slcolm_services.batch.rows import Fields, Row
from slcolm_services.errors import DataInvalid, InvalidInput

FIELDS = Fields()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# What a text editor leaves, so that wrong bytes do not drown it.
LINES = st.lists(
    st.binary(max_size=12) | st.text(max_size=12).map(lambda text: text.encode(errors="replace"))
).map(lambda lines: b"\n".join(line.replace(b"\0", b"") for line in lines))


def rows_of(content: bytes, kind: str, fields: Fields = FIELDS) -> tuple[list[Row], int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.in"
        path.write_bytes(content)
        source = inspect(path, kind, fields)
        assert source.size == len(content)
        return list(read([source], fields)), source.rows


@given(LINES, st.sampled_from(["text", "jsonl"]))
def test_there_are_as_many_rows_as_lines(content: bytes, kind: str) -> None:
    try:
        rows, counted = rows_of(content, kind)
    except DataInvalid:
        assert content[:2] in {b"\xff\xfe", b"\xfe\xff"}
        return
    assert len(rows) == counted == len(content.split(b"\n")) - (content[-1:] in {b"", b"\n"})
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        # What is written has to be encoded.
        row.id.encode()
        row.text.encode()
        if row.error is not None:
            row.error.message.encode()
            assert row.text == ""


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1)))
def test_a_text_is_read_as_it_stands(texts: list[str]) -> None:
    rows, _ = rows_of("".join(f"{text}\n" for text in texts).encode(), "text")
    expected = [text.removeprefix("\ufeff") if n == 0 else text for n, text in enumerate(texts)]
    assert [row.text for row in rows] == expected
    assert [row.id for row in rows] == [f"c.in:{number}" for number in range(1, len(rows) + 1)]


@given(JSON)
def test_any_json_is_a_row(value: object) -> None:
    content = json.dumps({"id": "a", "text": value}).encode() + b"\n" + json.dumps(value).encode()
    (first, second), _ = rows_of(content, "jsonl")
    assert (first.error is None) == isinstance(value, str)
    assert first.text == (value if isinstance(value, str) else "")
    assert first.id == "a" or first.error is not None
    assert second.error is not None


@pytest.mark.parametrize(
    ("line", "name", "text", "problem"),
    [
        ('{"id": "a", "text": "甲", "entities": [], "relations": []}', "a", "甲", ""),
        ('{"id": 7, "text": "甲", "more": [1]}', "7", "甲", ""),
        ('{"text": "甲"}', "c.in:1", "甲", ""),
        ('{"id": "", "text": ""}', "c.in:1", "", ""),
        ('{"id": "a"}', "a", "", "'text' is missing"),
        ('{"id": "a", "text": 3}', "a", "", "must be a string, not int"),
        ('{"id": true, "text": "甲"}', "c.in:1", "", "the id must be"),
        ('{"id": "a", "text": "\\ud800"}', "a", "", "surrogate"),
        ('{"id": "\\ud800", "text": "a"}', "c.in:1", "", "surrogate"),
        ('{"id": "a", "text": "x", "text": "y"}', "c.in:1", "", "twice"),
        ('{"\\ud800": 1, "\\ud800": 2}', "c.in:1", "", "twice"),
        ('["a"]', "c.in:1", "", "must be an object"),
        ("{", "c.in:1", "", "is not JSON"),
    ],
)
def test_an_object_is_read_by_its_fields(line: str, name: str, text: str, problem: str) -> None:
    (row,), _ = rows_of(line.encode(), "jsonl")
    assert (row.id, row.text) == (name, text)
    assert problem in (row.error.message if row.error else "")
    assert (row.error is None) == (problem == "")


def test_fields_may_have_other_names() -> None:
    line = json.dumps({"key": "k", "body": "甲", "id": "a", "text": "乙"}).encode()
    (row,), _ = rows_of(line, "jsonl", Fields("body", "key"))
    assert (row.id, row.text) == ("k", "甲")


def test_carriage_returns_and_a_byte_order_mark_are_no_text() -> None:
    rows, _ = rows_of(b"\xef\xbb\xbfa\r\nb", "text")
    assert [row.text for row in rows] == ["a", "b"]


def test_a_file_of_another_encoding_is_refused_whole() -> None:
    with pytest.raises(DataInvalid, match="cannot be read"):
        rows_of("甲\n".encode("utf-16"), "text")


def test_parquet_is_read_by_its_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    path, fields = tmp_path / "t.parquet", Fields("body", "key")
    table = pa.table(
        {"body": ["甲", None, "乙"] * 1000, "key": [1, 2, None] * 1000, "x": [0] * 3000}
    )
    pq.write_table(table, path)
    source = inspect(path, format_of(path), fields)
    rows = list(read([source], fields))

    assert source.rows == len(rows) == 3000
    assert [(row.id, row.text, row.error is None) for row in rows[:3]] == [
        ("1", "甲", True),
        ("2", "", False),
        ("t.parquet:3", "乙", True),
    ]
    with pytest.raises(DataInvalid, match="no column of texts"):
        inspect(path, "parquet", FIELDS)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataInvalid, match="cannot be read as Parquet"):
        inspect(path, "parquet", fields)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_a_parquet_string_that_is_no_utf8_is_a_row_that_failed(
    tmp_path: Path, *, large: bool, encoded: bool
) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    # pyarrow writes and reads any bytes as strings.
    texts = pa.array(["甲".encode(), b"a\xe4b", None, "乙".encode()], pa.binary())
    texts = texts.view(pa.string()).cast(pa.large_string() if large else pa.string())
    ids = pa.array([b"\xff", b"p", b"q", b"r"], pa.binary()).view(pa.string())
    path = tmp_path / "t.parquet"
    column = texts.dictionary_encode() if encoded else texts
    pq.write_table(pa.table({"id": ids, "text": column}), path)

    rows = list(read([inspect(path, "parquet", FIELDS)], FIELDS))

    assert [(row.id, row.text, row.error.message if row.error else "") for row in rows] == [
        ("t.parquet:1", "", "'id' is not UTF-8 at its byte 0: invalid start byte"),
        ("t.parquet:2", "", "'text' is not UTF-8 at its byte 1: invalid continuation byte"),
        ("q", "", "'text' is missing"),
        ("r", "乙", ""),
    ]


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    columns = [pa.array(["甲"]), pa.array(["乙"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", "text"]), path)
    with pytest.raises(DataInvalid) as caught:
        inspect(path, "parquet", FIELDS)
    assert [str(v) for v in caught.value.violations] == ["text: is the name of 2 columns"]


def test_a_parquet_footer_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["甲"] * 5}), path)
    content = path.read_bytes()
    # The file's number of rows, 5 (in zigzag 10), and what begins the list of row groups.
    assert content.count(b"\x16\x0a\x19") == 1
    path.write_bytes(content.replace(b"\x16\x0a\x19", b"\x16\x0c\x19"))
    with pytest.raises(DataInvalid) as caught:
        inspect(path, "parquet", FIELDS)
    assert [str(violation) for violation in caught.value.violations] == [
        "file: its footer says 6 rows, its row groups 5"
    ]


def test_patterns_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt", "[x].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find([f"{tmp_path}/?.txt"])] == ["a.txt", "b.txt"]
    assert [path.name for path in find([f"{tmp_path}/[x].txt", f"{tmp_path}/deep/**/*.txt"])] == [
        "[x].txt",
        "c.txt",
    ]
    with pytest.raises(InvalidInput) as caught:
        find([f"{tmp_path}/*.jsonl"])
    assert "names no file" in str(caught.value.violations[0])
    with pytest.raises(InvalidInput, match="twice"):
        find([f"{tmp_path}/a.txt", f"{tmp_path}/*.txt"])


def test_an_ending_that_tells_nothing_asks_for_the_format() -> None:
    assert format_of(Path("a.NDJSON")) == "jsonl"
    with pytest.raises(InvalidInput) as caught:
        format_of(Path("a.csv"))
    assert "--format" in str(caught.value.violations[0])


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
def test_rows_are_sought_over_files_as_they_are_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Marks lie in the middle of lines, on their ends, and several in one line.
    for module in ("inputs", "rows"):
        monkeypatch.setattr(f"slcolm_services.batch.{module}.MARK_BYTES", 7)
    sources = []
    for file, count in enumerate((9, 1, 23)):
        path = tmp_path / f"{file}.{kind}"
        texts = ["甲" * (n % 5) for n in range(count)]
        if kind == "parquet":
            pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
            import pyarrow.parquet as pq

            pq.write_table(pa.table({"text": texts}), path, row_group_size=4)
        else:
            lines = texts if kind == "text" else [json.dumps({"text": text}) for text in texts]
            path.write_text("\ufeff" + "\n".join(lines) + "\n" * (file % 2), encoding="utf-8")
        sources.append(inspect(path, kind, FIELDS))
    rows = list(read(sources, FIELDS))

    assert len(rows) == sum(source.rows for source in sources) > 30
    for start in range(len(rows) + 2):
        assert list(read(sources, FIELDS, start)) == rows[start:]
