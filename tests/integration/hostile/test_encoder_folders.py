"""An encoder's folder from elsewhere runs nothing, whatever its files ask for."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
from support.pickles import Runs

from slcolm_services.errors import ConfigInvalid
from slcolm_services.training.encoder import pretrained_encoder

CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 8,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
}


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there when something has run."""
    return tmp_path / "ran"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "encoder"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path


def refused(folder: Path) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        pretrained_encoder(str(folder), max_tokens=16)
    (violation,) = caught.value.violations
    return violation.problem


def test_weights_that_are_a_pickle_run_nothing(folder: Path, mark: Path) -> None:
    content = pickle.dumps(Runs(mark), protocol=2)
    (folder / "pytorch_model.bin").write_bytes(content)
    refused(folder)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()


def test_weights_in_the_newer_form_of_pickles_run_nothing(folder: Path, mark: Path) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Runs(mark), protocol=2))
        archive.writestr("archive/version", "3")
    refused(folder)
    assert not mark.exists()


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_code_in_the_folder_is_not_run(folder: Path, mark: Path, part: str) -> None:
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    names = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", None]}
    if part == "model":
        config = {**CONFIG, "model_type": "evil", "auto_map": names}
        (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": names}))
    refused(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[" * 100_000),
        ("config.json", b"{}"),
        ("config.json", b"\xff"),
        ("config.json", b'{"model_type": "bert", "hidden_size": "x"}'),
        (
            "config.json",
            json.dumps({**CONFIG, "hidden_size": 7, "num_attention_heads": 2}).encode(),
        ),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", b""),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../../../etc/passwd"}}'),
        ("tokenizer.json", b"[" * 100_000),
    ],
)
def test_damaged_files_are_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert refused(folder)
