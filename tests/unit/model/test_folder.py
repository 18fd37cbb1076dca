"""A model folder is whole, or it is refused with every reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import ModelInvalid, ModelNotFound
from slcolm_services.model.calibration import PlattScaling, TemperatureScaling
from slcolm_services.model.folder import Arguments, ModelManifest, read_manifest, write_manifest

MANIFEST = ModelManifest(
    entity_types=("人物", "LOC"),
    relation_types=("任职",),
    max_tokens=512,
    max_span_tokens=10,
    relation_threshold=0.4,
    vector_dimension=256,
    entity_calibration=TemperatureScaling(1.3),
    relation_calibration=PlattScaling(0.9, -0.1),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for name in (*MANIFEST.required_files, "README.md"):
        (path / name).write_text(f"content of {name}", encoding="utf-8")
    write_manifest(path, MANIFEST)
    return path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), encoding="utf-8")


def test_what_is_written_is_read(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert set(manifest.files) == {*MANIFEST.required_files, "README.md"}
    assert write_manifest(folder, MANIFEST) == manifest
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*manifest.files, "manifest.json"]
    )


def test_the_file_on_disk_is_format_1(folder: Path) -> None:
    """The keys are a contract: models outlive the code that wrote them."""
    raw = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = raw.pop("files")
    assert all(len(digest) == 64 for digest in files.values())
    assert raw == {
        "format": 1,
        "graphs": {"spans": "spans.onnx", "relations": "relations.onnx"},
        "max_tokens": 512,
        "max_span_tokens": 10,
        "entity_types": ["人物", "LOC"],
        "relation_types": ["任职"],
        "relation_arguments": {},
        "overlapping_entities": True,
        "relation_threshold": 0.4,
        "entity_calibration": {"kind": "temperature", "temperature": 1.3},
        "relation_calibration": {"kind": "platt", "slope": 0.9, "intercept": -0.1},
        "vector_dimension": 256,
        "precision": "fp32",
    }


def test_a_changed_file_is_found_only_when_asked_for(folder: Path) -> None:
    (folder / "spans.onnx").write_text("other", encoding="utf-8")
    read_manifest(folder, verify=False)
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert [violation.field for violation in caught.value.violations] == ["files['spans.onnx']"]


def test_a_missing_file_is_always_found(folder: Path) -> None:
    (folder / "relations.onnx").unlink()
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder, verify=False)
    assert str(caught.value.violations[0]) == "files['relations.onnx']: the file is missing"


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "spans.onnx"
    (folder / "spans.onnx").rename(outside)
    (folder / "spans.onnx").symlink_to(outside)
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert "leaves the folder" in caught.value.violations[0].problem


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "..", "", "a\\b", "a\0b", "a" * 300]
)
def test_a_name_that_is_a_path_is_refused(folder: Path, name: str) -> None:
    edit(folder, lambda raw: raw["files"].update({name: "0" * 64}))
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert "plain file name" in caught.value.violations[0].problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", True),
        ("max_tokens", 10**12),
        ("max_span_tokens", "10"),
        ("vector_dimension", 2.5),
        ("entity_types", []),
        ("entity_types", ["A", "A"]),
        ("relation_types", ["A", 3]),
        ("relation_types", "AB"),
        ("relation_arguments", []),
        ("overlapping_entities", 0),
        ("relation_threshold", 0),
        ("relation_threshold", 1.0),
        ("relation_threshold", 10**400),
        ("precision", None),
        ("entity_calibration", {"kind": "platt", "temperature": 1.0}),
        ("files", ["spans.onnx"]),
        ("surprise", 1),
    ],
)
def test_a_wrong_value_is_named(folder: Path, field: str, value: object) -> None:
    edit(folder, lambda raw: raw.update({field: value}))
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_what_relations_may_join_is_read_back_and_models_that_do_not_say_it_are_read(
    folder: Path,
) -> None:
    arguments = {"任职": Arguments(head=("人物",))}
    write_manifest(folder, replace(MANIFEST, relation_arguments=arguments))
    assert read_manifest(folder).relation_arguments == arguments
    edit(folder, lambda raw: raw.pop("relation_arguments"))
    assert read_manifest(folder).relation_arguments == {}


def test_whether_entities_overlap_is_read_back_and_models_that_do_not_say_it_let_them(
    folder: Path,
) -> None:
    write_manifest(folder, replace(MANIFEST, overlapping_entities=False))
    assert not read_manifest(folder).overlapping_entities
    edit(folder, lambda raw: raw.pop("overlapping_entities"))
    assert read_manifest(folder).overlapping_entities


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"任职": {"head": ["PER"], "tail": []}}, "relation_arguments.任职.head"),
        ({"任职": {"head": [], "tail": "人物"}}, "relation_arguments.任职.tail"),
        ({"任职": []}, "relation_arguments.任职"),
        ({"游历": {"head": [], "tail": []}}, "relation_arguments.游历"),
    ],
)
def test_arguments_that_fit_no_type_are_named(folder: Path, arguments: object, field: str) -> None:
    edit(folder, lambda raw: raw.update({"relation_arguments": arguments}))
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert field in [violation.field for violation in caught.value.violations]


def test_every_problem_is_named_at_once(folder: Path) -> None:
    def spoil(raw: dict[str, Any]) -> None:
        del raw["precision"]
        raw["entity_calibration"]["temperature"] = -1
        raw["graphs"]["spans"] = 7

    edit(folder, spoil)
    with pytest.raises(ModelInvalid) as caught:
        read_manifest(folder)
    assert {violation.field for violation in caught.value.violations} == {
        "precision",
        "entity_calibration.temperature",
        "graphs.spans",
    }


def test_another_format_is_refused_before_anything_else(folder: Path) -> None:
    edit(folder, lambda raw: raw.update(format=2, surprise=True))
    with pytest.raises(ModelInvalid, match="format 2; this version reads format 1"):
        read_manifest(folder)


def test_no_folder_and_no_manifest_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ModelNotFound, match="no manifest"):
        read_manifest(tmp_path)


def test_an_incomplete_folder_gets_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "spans.onnx").touch()
    with pytest.raises(ModelInvalid, match="cannot become a model folder"):
        write_manifest(tmp_path, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == ["spans.onnx"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "graphs",
                "files",
                "entity_types",
                "max_tokens",
                "entity_calibration",
                "relation_arguments",
                "overlapping_entities",
            ]
        ),
        json_values,
    )
)
def test_any_manifest_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    for name in MANIFEST.required_files:
        (folder / name).touch()
    write_manifest(folder, MANIFEST)
    edit(folder, lambda raw: raw.update(changes))
    # Any other exception fails the test.
    with contextlib.suppress(ModelInvalid):
        assert read_manifest(folder).required_files
