"""A stage's key: equal for equal work, and for nothing else."""

from __future__ import annotations

from slcolm.training.v1 import training_pb2
from slcolm_services.coordinator.keys import stage_key


def test_equal_inputs_make_equal_keys_in_any_order() -> None:
    assert stage_key("train", a="1", b="2") == stage_key("train", b="2", a="1")


def test_every_input_and_the_stage_shape_the_key() -> None:
    keys = {
        stage_key("train", a="1"),
        stage_key("train", a="2"),
        stage_key("train", b="1"),
        stage_key("predict", a="1"),
        stage_key("train", options=training_pb2.TrainOptions(epochs=1)),
        stage_key("train", options=training_pb2.TrainOptions(epochs=2)),
    }

    assert len(keys) == 6


def test_a_key_can_name_a_record() -> None:
    key = stage_key("guide", text="甲")

    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
