"""What a user may ask of a training run, and what becomes of the unanswered questions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training.choice import RANDOM, Kind, kind_of
from slcolm_services.training.schedules import Schedule

LINEAR, CONSTANT, DECAYING = RATE_COURSES = ("linear", "constant", "decay")
"""Courses of the learning rate."""

_SMALL_TRAINING_SET = 1000
"""Sentences up to which training goes in smaller batches."""
_WIDEST_OF_PARTS = 16
"""Longest entity in parts of words: a vocabulary from a small training set cuts names small."""


@dataclass(frozen=True)
class TrainOptions:
    """What a user may ask for; None leaves the choice to the trainer.

    Attributes:
        encoder: Transformers encoder by name or path, `built-in` or `random`; empty for the
            built-in encoder where it suits the texts, else random weights.
        epochs: Passes over the training set.
        batch_size: Sentences a step.
        learning_rate: Peak learning rate.
        seed: Of every random choice.
        patience: Epochs without a better dev score before training stops.
        schedule: How silver and gold data are blended, as `Schedule.parse` reads it; empty: every
            epoch has all gold data and as much silver.
        rate_course: `linear`, `constant` or `decay`; empty: linear.
        weigh_silver: Whether silver annotations count by their probabilities.
    """

    encoder: str = ""
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    patience: int | None = None
    schedule: str = ""
    rate_course: str = ""
    weigh_silver: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that decides a training run, with nothing left open.

    Attributes:
        encoder: Transformers encoder by name or path, `built-in` or `random`.
        epochs: Passes over the training set.
        batch_size: Sentences a step.
        learning_rate: Peak learning rate of AdamW.
        encoder_rate: That of the encoder, as a multiple of that of the heads.
        seed: Of every random choice.
        patience: Epochs without a better dev score before training stops.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW, on matrices only.
        gradient_clip: Largest norm of a step's gradient.
        dropout: In character encoders.
        head_dropout: On the inputs of the entity and relation heads.
        token_dropout: Share of the tokens that training replaces by the unknown token.
        mention_replacement: Share of the mentions that training replaces by others of their type.
        relation_weight: Weight of the relation loss beside the entity loss.
        entity_negatives: Largest number of negative spans drawn from a sentence.
        relation_negatives: Largest number of negative pairs drawn from a sentence.
        max_tokens: Longest text, special tokens included.
        max_span_tokens: Longest entity.
        layers: Of a character encoder from scratch.
        hidden_size: Of a character encoder from scratch.
        sub_words: Whether an encoder from scratch reads parts of words, not characters.
        schedule: How silver and gold data are blended; empty: all gold and as much silver.
        rate_course: `linear` (warm-up, then to 0), `constant`, or `decay` (x 0.95 an epoch).
        weigh_silver: Whether silver annotations count by their probabilities.
    """

    encoder: str = RANDOM
    epochs: int = 20
    batch_size: int = 8
    learning_rate: float = 5e-5
    encoder_rate: float = 1.0
    seed: int = 0
    patience: int = 6
    warmup: float = 0.1
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    dropout: float = 0.1
    head_dropout: float = 0.1
    token_dropout: float = 0.0
    mention_replacement: float = 0.0
    relation_weight: float = 1.0
    entity_negatives: int = 100
    relation_negatives: int = 100
    max_tokens: int = 512
    max_span_tokens: int = 10
    layers: int = 1
    hidden_size: int = 192
    sub_words: bool = False
    schedule: str = ""
    rate_course: str = LINEAR
    weigh_silver: bool = False

    def as_dict(self) -> dict[str, str | int | float]:
        """As JSON takes it."""
        return asdict(self)


def settle(options: TrainOptions, *, sentences: int, spaces: bool = False) -> Settings:
    """Answer what the user left open, by the kind of encoder and the training set.

    Args:
        options: What is asked for.
        sentences: In the training set.
        spaces: Whether its texts have spaces between words, so that an encoder from scratch reads
            parts of words.

    Raises:
        ConfigInvalid: An option is out of range.
    """
    _check(options)
    kind = kind_of(options.encoder)
    if kind is Kind.TRANSFORMERS:
        # SpERT's own, which hold for pre-trained encoders of the usual size.
        defaults = Settings(encoder=options.encoder)
    elif kind is Kind.CHARACTER:
        defaults = Settings(
            encoder=options.encoder,
            epochs=12,
            batch_size=8 if sentences <= _SMALL_TRAINING_SET else 16,
            learning_rate=2e-3,
            encoder_rate=0.5,
            token_dropout=0.05,
            mention_replacement=0.3,
        )
    else:
        few = sentences <= _SMALL_TRAINING_SET
        defaults = Settings(
            epochs=30 if few else 20,
            batch_size=8 if few else 16,
            learning_rate=2e-3,
            patience=12 if few else 8,
            token_dropout=0.05,
            mention_replacement=0.3,
            max_span_tokens=_WIDEST_OF_PARTS if spaces else Settings.max_span_tokens,
            sub_words=spaces,
        )
    epochs = options.epochs or defaults.epochs
    schedule = str(Schedule.parse(options.schedule)) if options.schedule else ""
    return replace(
        defaults,
        epochs=epochs,
        batch_size=options.batch_size or defaults.batch_size,
        learning_rate=options.learning_rate or defaults.learning_rate,
        seed=options.seed,
        # A schedule that stops before its second half would be another one.
        patience=options.patience or (epochs if schedule else defaults.patience),
        schedule=schedule,
        rate_course=options.rate_course or defaults.rate_course,
        weigh_silver=options.weigh_silver,
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
    if options.rate_course not in ("", *RATE_COURSES):
        known = ", ".join(RATE_COURSES)
        violations.append(FieldViolation("options.rate_course", f"must be one of {known}"))
    if options.seed < 0:
        violations.append(FieldViolation("options.seed", f"must be at least 0, got {options.seed}"))
    if violations:
        raise ConfigInvalid("training options are out of range", violations=violations)
