"""What predictions and extractions come back as."""

from __future__ import annotations

from dataclasses import dataclass

from slcolm_client._errors import SlcolmClientError


@dataclass(frozen=True)
class Entity:
    """A mention in a text.

    Attributes:
        type: Entity type of the task.
        start: First character, in Unicode code points from 0, as Python counts.
        end: One past the last character: `text[start:end]` is the mention.
        text: The mention.
        probability: Calibrated probability in [0, 1]; None where the source gives none.
    """

    type: str
    start: int
    end: int
    text: str
    probability: float | None


@dataclass(frozen=True)
class Relation:
    """A typed, directed relation between two mentions of a text."""

    type: str
    head: Entity
    tail: Entity
    probability: float | None


@dataclass(frozen=True)
class Triple:
    """A relation named by the texts of its mentions, and where it came from.

    Attributes:
        head: Text of the head.
        tail: Text of the tail.
        type: Relation type of the task.
        probability: Calibrated probability in [0, 1]; None where no source gives one.
        sources: `slm`, `llm`, or both.
        rule: Rule of the merge policy that let it in.
    """

    head: str
    tail: str
    type: str
    probability: float | None
    sources: tuple[str, ...]
    rule: str


@dataclass(frozen=True)
class Extraction:
    """What the small model found in a text.

    Attributes:
        id: The caller's name for the text.
        text: The text, as it was sent.
        entities: Mentions.
        relations: Relations between them.
        vector: Sentence vector of unit length; empty unless asked for.
        model_revision: Revision of the small model.
        error: Why this text failed; None if it did not. All else is empty then.
        windows: Ranges `(start, end)` of a text longer than the model's window, which were read one
            by one; empty for a text that was read at once.
        unseen_pairs: Ordered pairs of entities that no window holds together: whether they are
            related was not looked at.
    """

    id: str
    text: str
    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    vector: tuple[float, ...]
    model_revision: str
    error: SlcolmClientError | None
    windows: tuple[tuple[int, int], ...] = ()
    unseen_pairs: int = 0


@dataclass(frozen=True)
class Prediction:
    """What the small and the large model together say of a text.

    Attributes:
        id: The caller's name for the text.
        text: The text, as it was sent.
        entities: Mentions, by the small model.
        relations: The final relations between mentions.
        triples: The final relations by text, with their sources.
        explanation: The large model's reasons; empty where there are none.
        offline_rules: True when rules, not a language model, gave the answer.
        guidance_error: Why there is no LLM answer, when there is none; the triples are then the
            small model's.
        model_revision: Revision of the small model.
        index_revision: Revision of the demonstrations.
        policy_digest: Digest of the merge policy.
        error: Why this text failed; None if it did not. All else is empty then.
    """

    id: str
    text: str
    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    triples: tuple[Triple, ...]
    explanation: str
    offline_rules: bool
    guidance_error: SlcolmClientError | None
    model_revision: str
    index_revision: str
    policy_digest: str
    error: SlcolmClientError | None
