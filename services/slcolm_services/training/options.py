"""What a user may ask of a training run, and what becomes of the unanswered questions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from slcolm_services.errors import ConfigInvalid, FieldViolation

_SMALL_TRAINING_SET = 1000
"""Sentences up to which the built-in encoder is trained for more epochs, in smaller batches."""


@dataclass(frozen=True)
class TrainOptions:
    """What a user may ask for; None leaves the choice to the trainer.

    Attributes:
        encoder: Transformers encoder by name or path; empty for the built-in encoder.
        epochs: Passes over the training set.
        batch_size: Sentences a step.
        learning_rate: Peak learning rate.
        seed: Of every random choice.
        patience: Epochs without a better dev score before training stops.
    """

    encoder: str = ""
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    patience: int | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that decides a training run, with nothing left open.

    Attributes:
        encoder: Transformers encoder by name or path; empty for the built-in encoder.
        epochs: Passes over the training set.
        batch_size: Sentences a step.
        learning_rate: Peak learning rate of AdamW.
        seed: Of every random choice.
        patience: Epochs without a better dev score before training stops.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW, on matrices only.
        gradient_clip: Largest norm of a step's gradient.
        average_decay: Decay a step of the moving average of the weights that is kept; 0 keeps the
            weights themselves.
        dropout: In the built-in encoder.
        head_dropout: On the inputs of the entity and relation heads.
        token_dropout: Share of the tokens that training replaces by the unknown token.
        relation_weight: Weight of the relation loss beside the entity loss.
        entity_negatives: Largest number of negative spans drawn from a sentence.
        relation_negatives: Largest number of negative pairs drawn from a sentence.
        max_tokens: Longest text, special tokens included.
        max_span_tokens: Longest entity.
        layers: Of the built-in encoder.
        hidden_size: Of the built-in encoder.
    """

    encoder: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    patience: int
    warmup: float
    weight_decay: float
    gradient_clip: float = 1.0
    average_decay: float = 0.0
    dropout: float = 0.2
    head_dropout: float = 0.1
    token_dropout: float = 0.0
    relation_weight: float = 1.0
    entity_negatives: int = 100
    relation_negatives: int = 100
    max_tokens: int = 512
    max_span_tokens: int = 10
    layers: int = 4
    hidden_size: int = 256

    def as_dict(self) -> dict[str, str | int | float]:
        """As JSON takes it."""
        return asdict(self)


def settle(options: TrainOptions, *, sentences: int) -> Settings:
    """Answer what the user left open, by the kind of encoder and the size of the training set.

    Raises:
        ConfigInvalid: An option is out of range.
    """
    _check(options)
    if options.encoder:
        epochs, batch_size, learning_rate = 20, 8, 5e-5
        rest = {"patience": 6, "warmup": 0.1, "weight_decay": 0.01}
    else:
        small = sentences <= _SMALL_TRAINING_SET
        epochs, batch_size, learning_rate = (40, 8, 1e-3) if small else (30, 16, 1e-3)
        rest = {"patience": 8, "warmup": 0.1, "weight_decay": 0.01}
    return Settings(
        encoder=options.encoder,
        epochs=options.epochs or epochs,
        batch_size=options.batch_size or batch_size,
        learning_rate=options.learning_rate or learning_rate,
        seed=options.seed,
        patience=options.patience or int(rest["patience"]),
        warmup=rest["warmup"],
        weight_decay=rest["weight_decay"],
        token_dropout=0.0 if options.encoder else 0.1,
    )


def _check(options: TrainOptions) -> None:
    violations = [
        FieldViolation(f"options.{name}", f"must be greater than 0, got {value}")
        for name, value in (
            ("epochs", options.epochs),
            ("batch_size", options.batch_size),
            ("learning_rate", options.learning_rate),
            ("patience", options.patience),
        )
        if value is not None and value <= 0
    ]
    if options.seed < 0:
        violations.append(FieldViolation("options.seed", f"must be at least 0, got {options.seed}"))
    if violations:
        raise ConfigInvalid("training options are out of range", violations=violations)
