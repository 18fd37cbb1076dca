"""What decides a pre-training run, and what only decides how long it goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training.encoder import ACTIVATIONS


@dataclass(frozen=True)
class Recipe:
    """What makes the weights: a run can only be taken up again with the same recipe.

    Attributes:
        layers: Blocks of the encoder.
        hidden_size: Features of a token; a multiple of 64.
        activation: Of the feed-forward and local mixing; a name in `encoder.ACTIVATIONS`.
        vocabulary_size: Most token ids, special tokens included.
        block_tokens: Length of the texts that the encoder sees.
        batch_tokens: Tokens a step.
        micro_tokens: Tokens that are computed at once; divides `batch_tokens`.
        mask_share: Share of the tokens that are masked.
        matrix_learning_rate: Peak learning rate of Muon, for the matrices of the blocks.
        learning_rate: Peak learning rate of AdamW, for everything else.
        weight_decay: Of matrices, times the learning rate.
        warmup_tokens: In which the learning rate rises.
        validation_share: Share of the passages that is held out.
        precision: `bf16` or `fp32`: what activations and gradients are computed in.
        seed: Of every random choice.
    """

    layers: int = 4
    hidden_size: int = 256
    activation: str = "relu"
    vocabulary_size: int = 8000
    block_tokens: int = 128
    batch_tokens: int = 8192
    micro_tokens: int = 4096
    mask_share: float = 0.3
    matrix_learning_rate: float = 0.03
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup_tokens: int = 500_000
    validation_share: float = 0.005
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            ConfigInvalid: With everything that is wrong.
        """
        wrong = [
            FieldViolation(name, problem)
            for name, problem, holds in (
                ("layers", "must be at least 1", self.layers >= 1),
                (
                    "hidden_size",
                    "must be a multiple of 64",
                    self.hidden_size > 0 and self.hidden_size % 64 == 0,
                ),
                (
                    "activation",
                    f"must be one of {', '.join(ACTIVATIONS)}",
                    self.activation in ACTIVATIONS,
                ),
                (
                    "vocabulary_size",
                    "must be from 8 to 65535: ids are stored in 16 bits",
                    8 <= self.vocabulary_size <= 65_535,  # noqa: PLR2004  said in the message
                ),
                ("block_tokens", "must be at least 16", self.block_tokens >= 16),  # noqa: PLR2004
                (
                    "micro_tokens",
                    f"must be a multiple of block_tokens ({self.block_tokens})",
                    self.micro_tokens > 0 and self.micro_tokens % self.block_tokens == 0,
                ),
                (
                    "batch_tokens",
                    f"must be a multiple of micro_tokens ({self.micro_tokens})",
                    self.batch_tokens > 0 and self.batch_tokens % self.micro_tokens == 0,
                ),
                ("mask_share", "must be between 0 and 0.9", 0 < self.mask_share <= 0.9),  # noqa: PLR2004
                ("precision", "must be bf16 or fp32", self.precision in ("bf16", "fp32")),
                ("seed", "must be at least 0", self.seed >= 0),
            )
            if not holds
        ]
        if wrong:
            raise ConfigInvalid("pre-training options are out of range", violations=wrong)

    def as_dict(self) -> dict[str, str | int | float]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """How long a run goes on; it may be changed when a run is taken up again.

    The learning rate has fallen to nothing when the first of the limits is reached.

    Attributes:
        tokens: Most tokens; None for no limit.
        seconds: Longest time, in all the processes that worked on the run together.
        decay_share: Share of the budget, at its end, in which the learning rate falls.
    """

    tokens: int | None = None
    seconds: float | None = None
    decay_share: float = 0.4

    def __post_init__(self) -> None:
        """Refuse a budget without an end.

        Raises:
            ConfigInvalid: There is no limit, or one that is not positive.
        """
        limits = [limit for limit in (self.tokens, self.seconds) if limit is not None]
        if not limits or min(limits) <= 0:
            raise ConfigInvalid(
                "a pre-training run needs an end",
                violations=[FieldViolation("tokens", "give tokens or hours, greater than 0")],
            )

    def spent(self, tokens: int, seconds: float) -> float:
        """Share of the budget that is spent; 1 or more at its end."""
        shares = [tokens / self.tokens] if self.tokens else []
        if self.seconds:
            shares.append(seconds / self.seconds)
        return max(shares)

    def factor(self, tokens: int, seconds: float, warmup_tokens: int) -> float:
        """Of the peak learning rate: a rise, a level, and a straight fall to 0 at the end."""
        rising = min(1.0, (tokens + 1) / max(1, warmup_tokens))
        falling = (1.0 - self.spent(tokens, seconds)) / self.decay_share
        return max(0.0, min(rising, falling, 1.0))
