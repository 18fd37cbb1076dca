"""Settings of the evaluation service."""

from __future__ import annotations

from dataclasses import dataclass

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.evaluation.policy import ENTITY_FILTERS


@dataclass(frozen=True)
class EvaluationConfig:
    """Limits of a call, and the filters that `FitPolicy` tries on LLM triples.

    Attributes:
        max_merge_items: Sentences in one `Merge`.
        max_fit_sentences: Gold sentences in one `FitPolicy`, which merges each some hundred times.
        max_scored_sentences: Gold sentences in one `Score` or `Compare`.
        max_bootstrap_samples: Resamples that a caller may ask for.
        entity_filters: Filters that `FitPolicy` chooses from, the one to prefer first. `slm`:
            mentions of an LLM triple must be among the SLM's entities; `text`: they must stand in
            the text.
    """

    max_merge_items: int = 1024
    max_fit_sentences: int = 5_000
    max_scored_sentences: int = 50_000
    max_bootstrap_samples: int = 10_000
    entity_filters: tuple[str, ...] = ("slm", "text")

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigInvalid: A limit is not positive, or there is no such filter.
        """
        violations = [
            FieldViolation(name, f"must be at least 1, got {value}")
            for name, value in (
                ("max_merge_items", self.max_merge_items),
                ("max_fit_sentences", self.max_fit_sentences),
                ("max_scored_sentences", self.max_scored_sentences),
                ("max_bootstrap_samples", self.max_bootstrap_samples),
            )
            if value < 1
        ]
        violations += [
            FieldViolation("entity_filters", f"must be slm or text, got {name!r}")
            for name in self.entity_filters
            if name not in ENTITY_FILTERS
        ]
        if not self.entity_filters:
            violations.append(FieldViolation("entity_filters", "must name at least one"))
        if violations:
            raise ConfigInvalid("the evaluation service cannot start", violations=violations)
