"""Which encoder a run takes where nobody names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.training import built_in
from slcolm_services.training.choice import BUILT_IN, RANDOM, Kind, choose_encoder, kind_of, suits
from slcolm_services.training.options import TrainOptions, settle
from slcolm_services.training.vocabulary import character_tokenizer, folding_tokenizer

_KNOWN = "汉书后记之太守为人，。"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose built-in encoder knows a few characters."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    folding_tokenizer(_KNOWN).save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(built_in, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the weights."""
    monkeypatch.setattr(built_in, "FOLDER", tmp_path)


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        (["汉书之后，太守"], BUILT_IN),
        (["漢書之後，太守"], BUILT_IN),
        (["汉书 (Book of Han)", "太守为人", "汉书之后，为太守之后人"], BUILT_IN),
        (["The Book of Han, 汉书"], RANDOM),
        (["天地玄黄，宇宙洪荒，汉"], RANDOM),
        (["Anna lives in Paris."], RANDOM),
        (["。，123"], RANDOM),
        ([], RANDOM),
    ],
)
@pytest.mark.usefixtures("installed")
def test_the_built_in_encoder_is_for_texts_that_it_can_read(texts: list[str], chosen: str) -> None:
    assert choose_encoder("", texts) == chosen


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", [RANDOM, BUILT_IN, "bert-base-chinese"])
def test_a_named_encoder_is_taken_whatever_the_texts_are(name: str) -> None:
    assert choose_encoder(name, ["汉书"]) == name
    assert choose_encoder(name, ["Anna"]) == name


@pytest.mark.usefixtures("missing")
def test_without_its_weights_the_built_in_encoder_is_no_default_and_cannot_be_asked_for() -> None:
    assert choose_encoder("", ["汉书"]) == RANDOM
    with pytest.raises(ConfigInvalid, match="did not come with this installation"):
        choose_encoder(BUILT_IN, ["汉书"])


def test_one_unknown_character_in_twenty_is_too_many() -> None:
    tokenizer = character_tokenizer([_KNOWN])
    assert suits(tokenizer, ["汉" * 39 + "天"])
    assert not suits(tokenizer, ["汉" * 19 + "天"])


def test_encoders_are_told_apart_by_what_their_folder_says(
    bert_folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text('{"model_type": "slcolm-character"}')
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("[")
    kinds = [
        kind_of(str(name)) for name in (own, bert_folder, broken, "no/such", BUILT_IN, RANDOM, "")
    ]
    assert kinds == [
        Kind.CHARACTER,
        Kind.TRANSFORMERS,
        Kind.TRANSFORMERS,
        Kind.TRANSFORMERS,
        Kind.CHARACTER,
        Kind.SCRATCH,
        Kind.SCRATCH,
    ]


def test_a_pre_trained_encoder_moves_slower_than_the_heads() -> None:
    assert settle(TrainOptions(encoder=BUILT_IN), sentences=3000).encoder_rate < 1
    assert settle(TrainOptions(encoder=RANDOM), sentences=3000).encoder_rate == 1
    assert settle(TrainOptions(encoder="bert"), sentences=3000).encoder_rate == 1
