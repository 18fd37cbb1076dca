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
from slcolm_services.corpus.stats import frequency_bucket
from slcolm_services.errors import FieldViolation, InvalidInput, PromptTooLong
from slcolm_services.guidance.answer_form import AnswerForm
from slcolm_services.guidance.items import Candidate, GuideItem, Message, Prompt, PromptOptions

_FOLDER = Path(__file__).parent / "prompts"
_SYSTEM = ".system.jinja"
_CHINESE = frozenset({"zh", "lzh", "yue", "wuu", "nan", "hak", "gan", "cmn"})
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_MESSAGE_TOKENS = 4
_NARROW_CHARS_PER_TOKEN = 3
_DECIMALS = 2
_MAX_TRIGGERS = 3
_FREQUENCY_WORDS: dict[str, dict[str, list[str]]] = {
    "zh": {"head": ["常见"], "tail": ["少见"]},
    "en": {"head": ["frequent"], "tail": ["rare"]},
}


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
    then the definitions of the types.

    Raises:
        InvalidInput: There is no such template, or the text is empty.
        PromptTooLong: It does not fit without demonstrations and definitions either.
    """
    _check_text(item.prediction, "prediction.text")
    name = _guide_template(schema, options)
    form = guide_form(schema, options)
    shown = options.shown(item)

    def render(demonstrations: int, *, definitions: bool) -> Prompt:
        return _render(
            name,
            schema,
            form,
            {
                "options": options,
                "definitions": definitions,
                "frequencies": any(kind.count is not None for kind in schema.relation_types),
                "notes": _notes(schema, form.language, frequencies=True),
                "prediction": None
                if options.omit_prediction
                else _prediction(shown.prediction, schema),
                "candidates": [
                    {"type": candidate.type, "triggers": _triggers(candidate)}
                    for candidate in shown.candidates
                    if candidate.type in schema.relations_by_name
                ],
                "demonstrations": [
                    {
                        "text": example.gold.text,
                        "prediction": None
                        if options.omit_prediction or example.prediction is None
                        else _prediction(example.prediction, schema),
                        "gold": form.answer(example.gold, schema),
                    }
                    for example in shown.demonstrations[:demonstrations]
                ],
                "text": shown.prediction.text,
            },
        )

    available = len(shown.demonstrations)
    define = not options.omit_definitions
    choices = [(count, define) for count in range(available, -1, -1)]
    if define:
        choices.append((0, False))
    for count, definitions in choices:
        prompt = render(count, definitions=definitions)
        if prompt.tokens <= window.prompt_tokens:
            left_out = _left_out(available - count, available)
            if define and not definitions:
                left_out = (*left_out, "definitions of the types")
            return replace(prompt, shortened=left_out)
    raise _too_long(item.prediction.id, prompt, window)


def guide_form(schema: TaskSchema, options: PromptOptions) -> AnswerForm:
    """The form of answers that guidance asks for: reasons, entities, relations.

    Raises:
        InvalidInput: There is no such template.
    """
    return AnswerForm(_guide_template(schema, options).split(".")[1])


def _check_text(document: Document, field: str) -> None:
    if not document.text.strip():
        problem = "is empty or holds nothing but whitespace"
        raise InvalidInput(
            f"the text of {document.id!r} {problem}", violations=[FieldViolation(field, problem)]
        )


def build_annotate(
    document: Document,
    demonstrations: Sequence[Document],
    schema: TaskSchema,
    form: AnswerForm,
    window: Window,
) -> Prompt:
    """Make the prompt that asks an LLM to annotate a text without an SLM.

    Args:
        document: Its text is annotated.
        demonstrations: Solved examples; the last are left out first where they do not fit.
        schema: The task.
        form: What is asked for; see `annotate_form`.
        window: What fits.

    Raises:
        InvalidInput: The text is empty.
        PromptTooLong: It does not fit without demonstrations either.
    """
    _check_text(document, "text")
    name = f"annotate.{form.language}.v1"
    examples = [{"text": gold.text, "gold": form.answer(gold, schema)} for gold in demonstrations]
    context = {
        "form": form,
        "notes": _notes(schema, form.language, frequencies=False),
        "text": document.text,
    }
    for count in range(len(examples), -1, -1):
        prompt = _render(name, schema, form, context | {"demonstrations": examples[:count]})
        if prompt.tokens <= window.prompt_tokens:
            left_out = _left_out(len(examples) - count, len(examples))
            return replace(prompt, shortened=left_out)
    raise _too_long(document.id, prompt, window)


def annotate_form(schema: TaskSchema, style: str, *, entities_only: bool) -> AnswerForm:
    """The form of answers that annotation asks for.

    Args:
        schema: The task; its language is the prompt's.
        style: `standard`, or `cot`: four steps of reasoning before the result.
        entities_only: Whether relations are left out.

    Raises:
        InvalidInput: The style is unknown.
    """
    if style not in ("standard", "cot"):
        raise InvalidInput(
            f"there is no annotation style {style!r}",
            violations=[FieldViolation("style", f"must be `standard` or `cot`, got {style!r}")],
        )
    in_steps = style == "cot"
    return AnswerForm(
        prompt_language(schema),
        reasoning=in_steps,
        steps=in_steps,
        relations=not entities_only,
        pieces=True,
    )


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text, without any model's tokenizer: rather too many than too few.

    A wide character (Chinese, Japanese, Korean) counts as five quarters of a token, three others as
    one. On messages for ChisRE and CoNLL-2004 that is 1.08 to 1.48 times what OpenAI's `o200k_base`
    needs; for Chinese in the older `cl100k_base` it may be too little, down to 0.84.
    """
    wide = len(_WIDE.findall(text))
    return -(-wide * 5 // 4) - (-(len(text) - wide) // _NARROW_CHARS_PER_TOKEN)


def guide_templates() -> list[str]:
    """Names of the templates for guidance."""
    return sorted(path.name.removesuffix(_SYSTEM) for path in _FOLDER.glob(f"guide.*{_SYSTEM}"))


def _guide_template(schema: TaskSchema, options: PromptOptions) -> str:
    name = options.template or f"guide.{prompt_language(schema)}.v1"
    if name not in guide_templates():
        known = ", ".join(guide_templates())
        raise InvalidInput(
            f"there is no prompt template {name!r}",
            violations=[FieldViolation("options.template", f"must be one of {known}")],
        )
    return name


def _render(name: str, schema: TaskSchema, form: AnswerForm, context: dict[str, Any]) -> Prompt:
    shared = {"schema": schema, "keys": form.keys, "skeleton": form.skeleton(schema)}
    messages = tuple(
        Message(
            role, _TEMPLATES.get_template(f"{name}.{role}.jinja").render(shared | context).strip()
        )
        for role in ("system", "user")
    )
    tokens = sum(estimate_tokens(message.content) + _MESSAGE_TOKENS for message in messages)
    return Prompt(messages, tokens)


def prompt_language(schema: TaskSchema) -> str:
    """Language that a task's prompts are written in: `zh` or `en`."""
    return "zh" if schema.language.split("-")[0].lower() in _CHINESE else "en"


def _notes(schema: TaskSchema, language: str, *, frequencies: bool) -> dict[str, list[str]]:
    """What is said of each relation type beside its definition.

    What it may hold between, by labels (`人物→职官`), where it does not hold between everything;
    then whether it is frequent or rare in training, where that is known and wanted.
    """
    labels = {kind.name: kind.label for kind in schema.entity_types}
    notes: dict[str, list[str]] = {}
    for kind in schema.relation_types:
        notes[kind.name] = []
        if kind.head_types or kind.tail_types:
            sides = (
                "/".join(map(labels.__getitem__, names)) or "*"
                for names in (kind.head_types, kind.tail_types)
            )
            notes[kind.name].append("→".join(sides))
        if frequencies and kind.count is not None:
            notes[kind.name].extend(
                _FREQUENCY_WORDS[language].get(frequency_bucket(kind.count), ())
            )
    return notes


def _prediction(document: Document, schema: TaskSchema) -> dict[str, Any]:
    """What the SLM found: mentions by type and relations, each once, with probabilities.

    Each with its highest probability, in the order of the document.
    """
    labels = {kind.name: kind.label for kind in schema.entity_types}
    best: dict[tuple[str, str], float | None] = {}
    for entity in sorted(document.entities, key=lambda entity: (entity.start, entity.end)):
        key = labels.get(entity.type, entity.type), document.text[entity.start : entity.end]
        best[key] = max(best.get(key) or 0.0, entity.prob) if entity.prob is not None else None
    entities: dict[str, list[Any]] = {}
    for (label, mention), prob in best.items():
        entities.setdefault(label, []).append(
            mention if prob is None else [mention, round(prob, _DECIMALS)]
        )
    relations = [
        [triple.type, triple.head, triple.tail]
        + ([] if triple.prob is None else [round(triple.prob, _DECIMALS)])
        for triple in document.triples()
    ]
    return {"entities": entities, "relations": relations}


def _triggers(candidate: Candidate) -> list[str]:
    """Its first trigger words; those that are part of another one say nothing more."""
    words = candidate.triggers
    whole = [word for word in words if not any(word in other != word for other in words)]
    return whole[:_MAX_TRIGGERS]


def _left_out(count: int, available: int) -> tuple[str, ...]:
    return (f"{count} of {available} demonstrations",) if count else ()


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
