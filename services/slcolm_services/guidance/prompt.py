"""Makes prompts from versioned template files.

The part that is the same for every text of a task comes first, so that endpoints can cache it;
texts stand in the prompt as JSON strings, so that nothing in them reads as an instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, InvalidInput, PromptTooLong
from slcolm_services.guidance.items import (
    Demonstration,
    GuideItem,
    Message,
    Prompt,
    PromptOptions,
)

_FOLDER = Path(__file__).parent / "prompts"
_SYSTEM = ".system.jinja"
_CHINESE = frozenset({"zh", "lzh", "yue", "wuu", "nan", "hak", "gan", "cmn"})
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_MESSAGE_TOKENS = 4
_NARROW_CHARS_PER_TOKEN = 3
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Window:
    """What fits into one call.

    Attributes:
        context_tokens: Context window of the model: prompt and answer together.
        answer_tokens: Longest answer that is asked for.
    """

    context_tokens: int
    answer_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """Room for the prompt."""
        return self.context_tokens - self.answer_tokens


def build_guide(
    item: GuideItem, schema: TaskSchema, options: PromptOptions, window: Window
) -> Prompt:
    """Make the prompt that asks an LLM to revise the SLM's prediction.

    Where it does not fit the window, demonstrations go first, the least similar before the others,
    then the definitions of the candidate types.

    Raises:
        InvalidInput: There is no such template.
        PromptTooLong: It does not fit without demonstrations and definitions either.
    """
    name = options.template or f"guide.{prompt_language(schema)}.v1"
    if name not in guide_templates():
        known = ", ".join(guide_templates())
        raise InvalidInput(
            f"there is no prompt template {name!r}",
            violations=[FieldViolation("options.template", f"must be one of {known}")],
        )
    examples = () if options.omit_demonstrations else item.demonstrations
    available = len(examples)
    definitions = not options.omit_definitions
    shortened: list[str] = []
    while True:
        context = {
            "prediction": _annotations(item.prediction, schema)
            if not options.omit_prediction
            else None,
            "candidates": _candidates(item, schema) if definitions else [],
            "demonstrations": [
                _demonstration(example, schema, with_prediction=not options.omit_prediction)
                for example in examples
            ],
            "text": item.prediction.text,
        }
        prompt = _render(name, schema, context)
        if prompt.tokens <= window.prompt_tokens:
            return replace(prompt, shortened=tuple(shortened))
        if examples:
            examples = examples[:-1]
            shortened = [f"{available - len(examples)} of {available} demonstrations"]
        elif definitions and item.candidates:
            definitions = False
            shortened.append("definitions of the candidate relation types")
        else:
            raise _too_long(item.prediction.id, prompt, window)


def build_annotate(
    document: Document,
    demonstrations: Sequence[Document],
    schema: TaskSchema,
    style: str,
    window: Window,
) -> Prompt:
    """Make the prompt that asks an LLM to annotate a text without an SLM.

    Args:
        document: Its text is annotated.
        demonstrations: Solved examples; the last are left out first where they do not fit.
        schema: The task.
        style: `standard` or `cot` (reasons before the answer).
        window: What fits.

    Raises:
        InvalidInput: The style is unknown.
        PromptTooLong: It does not fit without demonstrations either.
    """
    if style not in ("standard", "cot"):
        raise InvalidInput(
            f"there is no annotation style {style!r}",
            violations=[FieldViolation("style", f"must be `standard` or `cot`, got {style!r}")],
        )
    name = f"annotate-{style}.{prompt_language(schema)}.v1"
    examples = [
        _demonstration(Demonstration(gold), schema, with_prediction=False)
        for gold in demonstrations
    ]
    shown = len(examples)
    while True:
        prompt = _render(name, schema, {"demonstrations": examples[:shown], "text": document.text})
        if prompt.tokens <= window.prompt_tokens:
            left_out = len(examples) - shown
            words = (f"{left_out} of {len(examples)} demonstrations",) if left_out else ()
            return replace(prompt, shortened=words)
        if not shown:
            raise _too_long(document.id, prompt, window)
        shown -= 1


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text, without any model's tokenizer: rather too many than too few.

    A wide character (Chinese, Japanese, Korean) counts as one token, three others as one.
    """
    wide = len(_WIDE.findall(text))
    return wide + -(-(len(text) - wide) // _NARROW_CHARS_PER_TOKEN)


def guide_templates() -> list[str]:
    """Names of the templates for guidance."""
    return sorted(path.name.removesuffix(_SYSTEM) for path in _FOLDER.glob(f"guide.*{_SYSTEM}"))


def _render(name: str, schema: TaskSchema, context: dict[str, Any]) -> Prompt:
    shared = {"schema": schema, "signatures": _signatures(schema)}
    messages = tuple(
        Message(role, _TEMPLATES.get_template(f"{name}.{role}.jinja").render(shared | context))
        for role in ("system", "user")
    )
    tokens = sum(estimate_tokens(message.content) + _MESSAGE_TOKENS for message in messages)
    return Prompt(messages, tokens)


def prompt_language(schema: TaskSchema) -> str:
    """Language that a task's prompts are written in: `zh` or `en`."""
    return "zh" if schema.language.split("-")[0].lower() in _CHINESE else "en"


def _signatures(schema: TaskSchema) -> dict[str, str]:
    """What each relation type may hold between, by labels: `人物→职官`; empty for anything."""
    labels = {kind.name: kind.label for kind in schema.entity_types}
    return {
        kind.name: "→".join(
            "/".join(labels[name] for name in names) or "*"
            for names in (kind.head_types, kind.tail_types)
        )
        if kind.head_types or kind.tail_types
        else ""
        for kind in schema.relation_types
    }


def _candidates(item: GuideItem, schema: TaskSchema) -> list[dict[str, Any]]:
    return [
        {
            "type": candidate.type,
            "definition": schema.relations_by_name[candidate.type].definition,
            "triggers": candidate.triggers,
        }
        for candidate in item.candidates
        if candidate.type in schema.relations_by_name
    ]


def _demonstration(
    example: Demonstration, schema: TaskSchema, *, with_prediction: bool
) -> dict[str, Any]:
    shown = example.prediction if with_prediction else None
    return {
        "text": example.gold.text,
        "prediction": _annotations(shown, schema) if shown else None,
        "gold": _annotations(example.gold, schema),
    }


def _annotations(document: Document, schema: TaskSchema) -> dict[str, dict[str, list[Any]]]:
    """Entities and relations by type: mentions and pairs, with probabilities where there are any.

    Each mention and each pair once, in the order of the document, with its highest probability.
    """
    labels = {kind.name: kind.label for kind in schema.entity_types}
    best: dict[tuple[str, str], float | None] = {}
    for entity in document.entities:
        key = labels.get(entity.type, entity.type), document.text[entity.start : entity.end]
        best[key] = max(best.get(key) or 0.0, entity.prob) if entity.prob is not None else None
    entities: dict[str, list[Any]] = {}
    for (label, mention), prob in best.items():
        entities.setdefault(label, []).append(
            mention if prob is None else [mention, round(prob, _DECIMALS)]
        )
    relations: dict[str, list[Any]] = {}
    for triple in document.triples():
        pair = [triple.head, triple.tail]
        relations.setdefault(triple.type, []).append(
            pair if triple.prob is None else [*pair, round(triple.prob, _DECIMALS)]
        )
    return {"entities": entities, "relations": relations}


def _too_long(name: str, prompt: Prompt, window: Window) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt for {name!r} needs about {prompt.tokens} tokens, there is room for"
        f" {window.prompt_tokens}",
        metadata={
            "id": name,
            "tokens": str(prompt.tokens),
            "room": str(window.prompt_tokens),
        },
    )


def _compact_json(value: object) -> str:
    """JSON without spaces and with Chinese as it is: short, and cached as a prefix alike."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_TEMPLATES = SandboxedEnvironment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)
_TEMPLATES.filters["json"] = _compact_json
