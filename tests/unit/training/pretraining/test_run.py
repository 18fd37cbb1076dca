"""A run from text to a folder that `slcolm train --encoder` takes, stopped and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slcolm_services.errors import ConfigInvalid, DataInvalid
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.encoder import (
    CharacterEncoder,
    adapt_encoder,
    pretrained_encoder,
)
from slcolm_services.training.pretraining.checkpoints import PretrainingCheckpoints, RunState
from slcolm_services.training.pretraining.export import export_encoder
from slcolm_services.training.pretraining.history import History
from slcolm_services.training.pretraining.loop import Pace
from slcolm_services.training.pretraining.options import Budget, Recipe
from slcolm_services.training.pretraining.run import pretrain
from slcolm_services.training.vocabulary import SPECIAL_TOKENS, UNKNOWN_ID

_PACE = Pace(report=1, record=4, checkpoint=3, validation_tokens=128)
_STEPS = 20


def _run(
    corpus: Path,
    folder: Path,
    recipe: Recipe,
    *,
    steps: int = _STEPS,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunState:
    budget = Budget(tokens=steps * recipe.batch_tokens)
    return pretrain(
        [corpus], folder, recipe, budget, threads=1, pace=_PACE, should_stop=should_stop
    )


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    latest = PretrainingCheckpoints(folder).latest()
    assert latest is not None
    return load_file(latest / "model.safetensors")


def _assert_equal(one: Path, other: Path) -> None:
    left, right = _weights(one), _weights(other)
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.equal(weight, right[name]), name


def test_the_loss_on_held_out_passages_falls(corpus: Path, recipe: Recipe, tmp_path: Path) -> None:
    state = _run(corpus, tmp_path / "run", recipe, steps=60)
    records = History(tmp_path / "run" / "history.jsonl").records()
    assert [record.step for record in records] == list(range(4, 61, 4))
    assert records[-1].tokens == 60 * recipe.batch_tokens
    first, last = records[0].validation_loss, records[-1].validation_loss
    assert first is not None
    assert last is not None
    assert last < first - 0.5
    assert state.validation_loss == last
    assert state.spent == 1


def test_the_same_run_again_makes_the_same_weights_and_another_seed_others(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        _run(corpus, tmp_path / name, replace(recipe, seed=seed))
    _assert_equal(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        _assert_equal(tmp_path / "a", tmp_path / "c")


def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    _run(corpus, tmp_path / "whole", recipe)
    for stop_after in (0, 4, 5):
        asked = iter([False] * stop_after + [True])
        _run(corpus, tmp_path / "parts", recipe, should_stop=asked.__next__)
    state = _run(corpus, tmp_path / "parts", recipe)
    assert state.step == _STEPS
    _assert_equal(tmp_path / "whole", tmp_path / "parts")
    steps = [
        [record.step for record in History(tmp_path / name / "history.jsonl").records()]
        for name in ("whole", "parts")
    ]
    assert steps[0] == steps[1]
    folders = sorted(path.name for path in (tmp_path / "parts").iterdir() if path.is_dir())
    assert folders == ["corpus", f"step-{_STEPS:08d}"]


def test_a_finished_run_goes_on_when_its_budget_grows(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    _run(corpus, tmp_path / "run", recipe)
    assert _run(corpus, tmp_path / "run", recipe).step == _STEPS
    assert _run(corpus, tmp_path / "run", recipe, steps=_STEPS + 4).step == _STEPS + 4


def test_a_run_is_never_taken_up_with_another_recipe_or_corpus(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    _run(corpus, tmp_path / "run", recipe, steps=1)
    with pytest.raises(ConfigInvalid, match="another pre-training run") as caught:
        _run(corpus, tmp_path / "run", replace(recipe, layers=2, seed=7))
    assert [str(item) for item in caught.value.violations] == [
        "layers: 1 there, 2 asked for",
        "seed: 0 there, 7 asked for",
    ]
    other = tmp_path / "other.txt"
    other.write_text("别书", encoding="utf-8")
    with pytest.raises(ConfigInvalid) as caught:
        _run(other, tmp_path / "run", recipe)
    assert [str(item) for item in caught.value.violations] == ["input: holds other text"]


def test_a_folder_that_cannot_be_written_is_named(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigInvalid, match="cannot be written"):
        _run(corpus, tmp_path / "file", recipe)
    _run(corpus, tmp_path / "run", recipe, steps=1)
    with pytest.raises(ConfigInvalid, match="cannot be written"):
        export_encoder(tmp_path / "run", tmp_path / "file")


def test_a_missing_file_is_named(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"none\.txt"):
        _run(tmp_path / "none.txt", tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_its_checkpoint(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    hot = replace(recipe, learning_rate=1e30, matrix_learning_rate=1e30, warmup_tokens=512)
    with pytest.raises(ConfigInvalid, match="learning rates are too high"):
        _run(corpus, tmp_path / "run", hot)


@pytest.fixture
def encoder_folder(corpus: Path, recipe: Recipe, tmp_path: Path) -> Path:
    _run(corpus, tmp_path / "run", recipe)
    export_encoder(tmp_path / "run", tmp_path / "encoder", data="Made-up passages.")
    return tmp_path / "encoder"


def test_an_exported_encoder_loads_like_any_other_and_without_a_word(
    encoder_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = pretrained_encoder(str(encoder_folder), max_tokens=600)
    assert capfd.readouterr().err == ""
    assert isinstance(loaded.encoder, CharacterEncoder)
    assert loaded.pretrained
    assert loaded.max_tokens == 512
    assert loaded.unknown_id == UNKNOWN_ID
    trained = _weights(tmp_path / "run")
    for name, weight in loaded.encoder.state_dict().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, trained[f"encoder.{name}"], rtol=1e-3, atol=1e-4)
    card = json.loads((encoder_folder / "card.json").read_bytes())
    assert card["tokens"] == _STEPS * 128
    assert card["data"]["description"] == "Made-up passages."
    assert len(card["history"]) == _STEPS // _PACE.record
    assert "Made-up passages." in (encoder_folder / "README.md").read_text(encoding="utf-8")


def test_traditional_text_is_the_same_to_it_with_offsets_of_the_text(encoder_folder: Path) -> None:
    loaded = pretrained_encoder(str(encoder_folder), max_tokens=128)
    tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=128)
    simplified, traditional = (tokenizer.encode(text) for text in ("甲至济南。", "甲至濟南。"))
    assert simplified.ids.tolist() == traditional.ids.tolist()
    assert UNKNOWN_ID not in simplified.ids
    assert traditional.starts.tolist() == [0, 0, 1, 2, 3, 4, 0]
    assert traditional.ends.tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_characters_of_a_task_get_embeddings_where_the_vocabulary_lacks_them(
    encoder_folder: Path,
) -> None:
    loaded = pretrained_encoder(str(encoder_folder), max_tokens=128)
    before = loaded.tokenizer.get_vocab_size()
    table = loaded.encoder.get_parameter("embeddings.weight").detach().clone()
    adapted = adapt_encoder(loaded, ["甲、鸞鳳", "鸾鳥"], dropout=0.25)
    # 鸞 and 鸾 are one character.
    assert adapted.tokenizer.get_vocab_size() == before + 4
    ids = TextTokenizer(adapted.tokenizer).encode("鸞鳳鸾鳥、甲").ids.tolist()
    assert len({*ids} - {*range(len(SPECIAL_TOKENS))}) == 5
    grown = adapted.encoder.get_parameter("embeddings.weight")
    assert torch.equal(grown[:before], table)
    assert torch.equal(grown[before:], table[UNKNOWN_ID].expand(4, -1))
    assert adapted.encoder.config.vocab_size == before + 4
    assert adapted.encoder.config.dropout == 0.25


def test_what_is_no_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no folder of a pre-training run"):
        export_encoder(tmp_path, tmp_path / "encoder")
