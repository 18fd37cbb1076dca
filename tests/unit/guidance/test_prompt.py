"""Prompts: stable first, texts as data, and what is left out is said."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import InvalidInput, PromptTooLong
from slcolm_services.guidance.items import (
    Candidate,
    Demonstration,
    GuideItem,
    Prompt,
    PromptOptions,
)
from slcolm_services.guidance.parse import parse_answer
from slcolm_services.guidance.prompt import (
    Window,
    annotate_form,
    build_annotate,
    build_guide,
    estimate_tokens,
    guide_form,
    guide_templates,
)

WIDE = Window(100_000, 1_000)


def document(name: str, text: str = "甲为某官，其子乙。") -> Document:
    entities = (Entity("PER", 0, 1, 0.98765), Entity("OFI", 2, 4, 0.9), Entity("PER", 7, 8, 0.7))
    return Document(name, text, entities, (Relation("任职", 0, 1, 0.91234),))


def item(demonstrations: int = 1) -> GuideItem:
    gold = Document(
        "d", "丙之子丁。", (Entity("PER", 0, 1), Entity("PER", 3, 4)), (Relation("父", 0, 1),)
    )
    return GuideItem(
        document("q"),
        tuple(
            Demonstration(dataclasses.replace(gold, text=f"丙之子丁。{'续' * 200}{index}"))
            for index in range(demonstrations)
        ),
        (Candidate("父", 1.0, ("子",)), Candidate("任职")),
    )


def whole(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.messages)


def test_shows_everything_an_answer_needs(schema: TaskSchema) -> None:
    system, user = build_guide(item(), schema, PromptOptions(), WIDE).messages
    assert (system.role, user.role) == ("system", "user")
    assert all(kind.name in system.content for kind in schema.relation_types)
    assert "任职（人物→职官；常见）：人物担任某个官职" in system.content
    assert "父（人物→人物）：一个人物是另一个人物的父亲" in system.content
    assert '父（["子"]）、任职' in user.content
    assert '[["任职","甲","某官",0.91]]' in user.content
    assert '[{"类型":"父","主体":"丙","客体":"丁"}]' in user.content


def test_the_part_that_is_the_same_for_every_text_comes_first(schema: TaskSchema) -> None:
    first = build_guide(item(), schema, PromptOptions(), WIDE).messages
    second = build_guide(
        GuideItem(document("z", "乙为某官，其子甲。")), schema, PromptOptions(), WIDE
    )
    assert first[0] == second.messages[0]
    assert first[1] != second.messages[1]


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (PromptOptions(omit_definitions=True), "一个人物是另一个人物的父亲"),
        (PromptOptions(omit_definitions=True), '父（["子"]）'),
        (PromptOptions(omit_demonstrations=True), "丙之子丁"),
        (PromptOptions(omit_demonstrations=True), "遵循示例"),
        (PromptOptions(omit_prediction=True), "0.91"),
        (PromptOptions(omit_prediction=True), "小模型"),
    ],
)
def test_each_part_can_be_left_out_and_is_not_spoken_of(
    schema: TaskSchema, options: PromptOptions, gone: str
) -> None:
    assert gone in whole(build_guide(item(), schema, PromptOptions(), WIDE))
    assert gone not in whole(build_guide(item(), schema, options, WIDE))


def test_shows_as_many_demonstrations_as_asked_for(schema: TaskSchema) -> None:
    user = build_guide(item(3), schema, PromptOptions(max_demonstrations=2), WIDE).messages[1]
    assert "续1" in user.content
    assert "续2" not in user.content


def test_trigger_words_inside_others_are_not_shown(schema: TaskSchema) -> None:
    words = Candidate("父", 1.0, ("之子", "子", "之", "父", "生", "育"))
    guided = GuideItem(document("q"), (), (words,))
    user = build_guide(guided, schema, PromptOptions(), WIDE).messages[1]
    assert '父（["之子","父","生"]）' in user.content


def test_the_language_of_the_task_chooses_the_template(schema: TaskSchema) -> None:
    english = dataclasses.replace(schema, language="en-GB")
    assert "small model" in build_guide(item(), english, PromptOptions(), WIDE).messages[0].content
    forced = build_guide(item(), schema, PromptOptions(template="guide.en.v1"), WIDE)
    assert "small model" in forced.messages[0].content


@pytest.mark.parametrize("name", ["guide.zh.v99", "../secrets", "annotate-cot.zh.v1"])
def test_an_unknown_template_names_the_known_ones(schema: TaskSchema, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build_guide(item(), schema, PromptOptions(template=name), WIDE)
    assert caught.value.violations[0].field == "options.template"
    assert "guide.zh.v1" in caught.value.violations[0].problem


@given(st.text(alphabet=" \n\t\u3000"))
def test_a_text_with_nothing_to_read_is_refused(text: str) -> None:
    schema = TaskSchema("t", "en", (), ())
    with pytest.raises(InvalidInput) as caught:
        build_guide(GuideItem(Document("q", text)), schema, PromptOptions(), WIDE)
    assert caught.value.violations[0].field == "prediction.text"


@given(st.text(min_size=1).filter(str.strip))
def test_a_text_stands_in_the_prompt_as_data(text: str) -> None:
    """Whatever the text, its line in the prompt is one JSON string that gives it back."""
    schema = TaskSchema("t", "en", (), ())
    user = build_guide(GuideItem(Document("q", text)), schema, PromptOptions(), WIDE).messages[1]
    lines = [line for line in user.content.split("\n") if line.startswith("Sentence: ")]
    assert len(lines) == 1
    assert json.loads(lines[0].removeprefix("Sentence: ")) == text


def test_least_similar_demonstrations_go_first_then_definitions(schema: TaskSchema) -> None:
    full = build_guide(item(3), schema, PromptOptions(), WIDE)
    assert full.shortened == ()
    less = build_guide(item(3), schema, PromptOptions(), Window(full.tokens - 1, 0))
    assert less.shortened == ("1 of 3 demonstrations",)
    assert "续0" in less.messages[1].content
    assert "续2" not in less.messages[1].content
    bare = build_guide(item(3), schema, PromptOptions(omit_demonstrations=True), WIDE)
    least = build_guide(item(3), schema, PromptOptions(), Window(bare.tokens - 1, 0))
    assert least.shortened == ("3 of 3 demonstrations", "definitions of the types")
    assert "人物担任" not in least.messages[0].content
    with pytest.raises(PromptTooLong) as caught:
        build_guide(item(3), schema, PromptOptions(), Window(bare.tokens, 200))
    assert caught.value.metadata["id"] == "q"


@pytest.mark.parametrize("style", ["standard", "cot"])
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("entities_only", [False, True])
def test_texts_can_be_annotated_without_a_small_model(
    schema: TaskSchema, style: str, language: str, entities_only: bool
) -> None:
    task = dataclasses.replace(schema, language=language)
    solved = item().demonstrations[0].gold
    form = annotate_form(task, style, entities_only=entities_only)
    prompt = build_annotate(document("q"), [solved], task, form, WIDE)
    system, user = prompt.messages
    assert "0.9" not in user.content
    assert '"人物":["丙","丁"]' in user.content
    assert ('"丙"' in user.content.replace('["丙","丁"]', "")) is not entities_only
    assert ("任职" in system.content) is not entities_only
    assert (f'"{form.keys.steps[3]}":"…"' in system.content) is (style == "cot")
    short = build_annotate(document("q"), [solved], task, form, Window(prompt.tokens - 1, 0))
    assert short.shortened == ("1 of 1 demonstrations",)


def test_an_unknown_style_of_annotation_is_refused(schema: TaskSchema) -> None:
    with pytest.raises(InvalidInput) as caught:
        annotate_form(schema, "poem", entities_only=False)
    assert caught.value.violations[0].field == "style"


@pytest.mark.parametrize("name", guide_templates())
def test_a_template_shows_the_form_that_it_asks_for(schema: TaskSchema, name: str) -> None:
    """The skeleton in the prompt goes through the parser without a repair."""
    options = PromptOptions(template=name)
    system = build_guide(item(), schema, options, WIDE).messages[0].content
    shown = next(line for line in system.split("\n") if line.startswith("{"))
    assert json.loads(shown) == guide_form(schema, options).skeleton(schema)
    parsed = parse_answer(shown, "甲为某官，子乙。", schema)
    assert parsed.usable
    assert not parsed.repairs


def test_wide_characters_count_as_tokens() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("甲乙丙丁") == 5
    assert estimate_tokens("abcd") == 2
