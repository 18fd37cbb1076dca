"""What guidance works on: a text with the SLM's prediction, solved examples and candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slcolm_services.corpus.documents import Document


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relation type that may hold in the text.

    Attributes:
        type: Relation type name of the schema.
        score: Greater means more likely; comparable within one item.
        triggers: Trigger words of the type that stand in the text.
    """

    type: str
    score: float = 0.0
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A solved example: the truth, and what the SLM predicted where that is known."""

    gold: Document
    prediction: Document | None = None


@dataclass(frozen=True, slots=True)
class GuideItem:
    """One text to guide.

    Attributes:
        prediction: The text with the SLM's entities and relations.
        demonstrations: Most similar first.
        candidates: Most likely first.
    """

    prediction: Document
    demonstrations: tuple[Demonstration, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """How prompts are made.

    Attributes:
        template: Name and version, for example `guide.zh.v1`; empty: by the schema's language.
        omit_definitions: Leave out what types mean and which of them are candidates.
        omit_demonstrations: Leave the solved examples out.
        omit_prediction: Leave out what the SLM found.
        max_demonstrations: Most solved examples shown, the most similar first; 0: all.
    """

    template: str = ""
    omit_definitions: bool = False
    omit_demonstrations: bool = False
    omit_prediction: bool = False
    max_demonstrations: int = 0

    def shown(self, item: GuideItem) -> GuideItem:
        """What the options leave of an item."""
        some = item.demonstrations[: self.max_demonstrations or None]
        return replace(
            item,
            prediction=item.prediction.without_annotations()
            if self.omit_prediction
            else item.prediction,
            demonstrations=() if self.omit_demonstrations else some,
            candidates=() if self.omit_definitions else item.candidates,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A chat message."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to an LLM.

    Attributes:
        messages: In the order sent.
        tokens: Estimated length; see `prompt.estimate_tokens`.
        shortened: What was left out to fit the context window, in words.
    """

    messages: tuple[Message, ...]
    tokens: int
    shortened: tuple[str, ...] = ()
