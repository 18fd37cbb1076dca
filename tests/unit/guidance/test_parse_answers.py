"""Every way in which recorded answers went wrong is read, and counted under its name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Entity, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.guidance.containers import MAX_ANSWER_CHARS
from slcolm_services.guidance.parse import ParsedAnswer, parse_answer

TEXT = "甲为某官，守某地。乙者，甲之子也，亦为某官。"
OFFICE = Triple("甲", "某官", "任职")
PLACE = Triple("甲", "某地", "管理")
FATHER = Triple("甲", "乙", "父")


@pytest.mark.parametrize(
    ("answer", "triples", "repair"),
    [
        ('{"真实的实体":{"人物":["甲"]},"真实的关系":{"任职":[["甲","某官"]]}}', [OFFICE], None),
        ('{"真实实体":{},"真实关系":{"任职":[["甲","某官"]]}}', [OFFICE], None),
        ('{"entities":{},"relations":{"任职":[["甲","某官"]]}}', [OFFICE], None),
        ('```json\n{"实体":{},"关系":{"任职":[["甲","某官"]]}}\n```', [OFFICE], "code_fence"),
        ("```\n{'关系':{'任职':[['甲','某官']]}}", [OFFICE], "python_literal"),
        ('{"关系":{"任职":[["甲","某官"]]}}\n注意：可能不准确。', [OFFICE], "surrounding_text"),
        (
            "真实的实体：\n{'人物': ['甲']}\n真实的关系：\n{'任职': [['甲', '某官']]}",
            [OFFICE],
            "several_objects",
        ),
        ("{'人物': ['甲']}\n{'任职': [['甲', '某官']]}", [OFFICE], "several_objects"),
        ("{}\n真实的关系：\n{'任职': [['甲', '某官']]}", [OFFICE], "several_objects"),
        ('{"人物":["甲"],"职官":["某官"],"关系":{"任职":[["甲","某官"]]}}', [OFFICE], None),
        (
            "{'任职': [['甲','某官']], '管理': [['甲','某地']], '任职': [['乙','某官']]}",
            [OFFICE, Triple("乙", "某官", "任职"), PLACE],
            "repeated_key",
        ),
        (
            '{"关系":{"任职":[["甲","某官"]],"任职":[["乙","某官"]]}}',
            [OFFICE, Triple("乙", "某官", "任职")],
            "repeated_key",
        ),
        ('{"任职": [[["甲","某官"],"0.99"]]}', [OFFICE], "probability_in_pair"),
        ("{'任职': [['甲','某官','0.9991']]}", [OFFICE], "probability_in_pair"),
        ("{'任职': [['甲','某官',0.9991]]}", [OFFICE], "probability_in_pair"),
        (
            "{\"任职\": \"[['甲','某官'],'0.9998'], [['乙','某官'],'0.9555']\"}",
            [OFFICE, Triple("乙", "某官", "任职")],
            "list_as_string",
        ),
        (
            '{"任职": ["甲","某官","乙","某官"]}',
            [OFFICE, Triple("乙", "某官", "任职")],
            "flat_list",
        ),
        ('{"管理": ["甲","某地"]}', [PLACE], "flat_list"),
        ('{"任职": {"主体":"甲","客体":"某官"}}', [OFFICE], "object_pair"),
        ('{"任职": [{"head":"甲","tail":"某官"}]}', [OFFICE], "object_pair"),
        ('{"任职": {"甲":"某官"}}', [OFFICE], "object_pair"),
        ('{"任职": [["甲", ["某官"]]]}', [OFFICE], "nested_tails"),
        ('{"任职&爵位&谥号": [["甲","某官"]]}', [OFFICE], "label"),
        ('{"任职 ": [["甲","某官"]]}', [OFFICE], None),
        ('{"关系":{"其他关系": [["甲","乙"]]}}', [Triple("甲", "乙", "其他")], "label"),
        ('{"relations":[{"head":"甲","type":"父","tail":"乙"}]}', [FATHER], None),
        ('{"关系":[{"类型":"父","主体":"甲","客体":"乙"}]}', [FATHER], None),
        ('{"关系":[["父","甲","乙",0.9]]}', [FATHER], "labelled_triple"),
        ('{"relations":[["甲","父","乙"],["甲","乙","父"]]}', [FATHER], "labelled_triple"),
        ('[{"head":"甲","relation":"父","tail":"乙"}]', [FATHER], None),
        (
            '{"思考过程": "首先……\\\\", ", ": {"人物": []}, "真实的关系": {"父": [["甲","乙"]]}}',
            [FATHER],
            "stray_key",
        ),
        (
            json.dumps(
                {"思考过程": "……真实的实体为{'人物': ['甲']}，真实的关系为{'父': [['甲','乙']]}"},
                ensure_ascii=False,
            ),
            [FATHER],
            "answer_in_reasoning",
        ),
        ('{"思考过程":"称"甲"为父。","关系":{"父":[["甲","乙"]]}}', [FATHER], "stray_quote"),
        ('{"关系":{"父":[["甲","乙"],]}}', [FATHER], "trailing_comma"),
        ("{“关系”：{“父”：[[“甲”，“乙”]]}}", [FATHER], "typographic_quotes"),
        ('{"实体":{"人物":["甲","乙"]},"关系":{"父":[["甲","乙"],["甲', [FATHER], "unfinished"),
        ('{"实体":{},"关系":{父:[["甲","乙"]]}}', [FATHER], "json_repair"),
        ('{"父":[["甲","乙"],["甲","乙"]]}', [FATHER], "duplicate_triple"),
        ('{"父":[["人物甲","《乙》"]]}', [FATHER], "mention_trimmed"),
    ],
)
def test_reads_what_a_person_would_read(
    schema: TaskSchema, answer: str, triples: list[Triple], repair: str | None
) -> None:
    parsed = parse_answer(answer, TEXT, schema)
    assert parsed.usable
    assert sorted(parsed.triples) == sorted(triples)
    if repair is None:
        assert not set(parsed.repairs) - {"label"}
    else:
        assert parsed.repairs[repair] >= 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"父子": [["甲","乙"]]}', "unknown_type"),
        ('{"关系":{"师生": [["甲","乙"]]}}', "unknown_type"),
        ('{"父": [["甲","丙"]]}', "not_in_text"),
        ('{"父": [["甲的父亲","乙"]]}', "not_in_text"),
        ('{"父": [["甲","甲"]]}', "same_mention"),
        ('{"其他": [["甲","乙","某地"]]}', "wrong_arity"),
        ('{"其他": [["甲"]]}', "wrong_arity"),
    ],
)
def test_leaves_out_what_schema_or_text_do_not_hold(
    schema: TaskSchema, answer: str, reason: str
) -> None:
    parsed = parse_answer(answer, TEXT, schema)
    assert parsed.usable
    assert parsed.triples == ()
    assert parsed.dropped == {reason: 1}


def test_names_the_types_outside_the_schema(schema: TaskSchema) -> None:
    parsed = parse_answer('{"关系":{"师生":[["甲","乙"],["乙","甲"]]}}', TEXT, schema)
    assert parsed.unknown_types == {"师生": 2}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "抱歉，我不能回答。",
        "{",
        "}{",
        "null",
        "[]",
        "{}",
        '"',
        '{"实体":{"人物":["甲"]}}',
        "```",
    ],
)
def test_an_answer_without_relations_is_unusable(schema: TaskSchema, answer: str) -> None:
    parsed = parse_answer(answer, TEXT, schema)
    assert not parsed.usable
    assert parsed.triples == ()


@pytest.mark.parametrize(
    "answer",
    [
        '{"真实的实体":{},"真实的关系":{}}',
        "{'人物': ['甲']}\n真实的关系：\n{}",
        "{'人物': ['甲']}\n真实的关系：[]",
        "{}真实的关系：{}",
    ],
)
def test_an_answer_that_there_are_no_relations_is_usable(schema: TaskSchema, answer: str) -> None:
    parsed = parse_answer(answer, TEXT, schema)
    assert parsed.usable
    assert parsed.triples == ()


def test_mentions_carry_the_characters_of_the_text(schema: TaskSchema) -> None:
    parsed = parse_answer('{"父": [["孫權","孙登"]]}', "孙权之子孙登", schema)
    assert parsed.triples == (Triple("孙权", "孙登", "父"),)
    assert parsed.repairs["script_variant"] == 1
    back = parse_answer('{"父": [["孙权","孙登"]]}', "孫權之子孫登", schema)
    assert back.triples == (Triple("孫權", "孫登", "父"),)


@pytest.mark.parametrize(
    ("written", "text", "mention", "repair"),
    [
        ("new york", "In New York he ran Acme.", "New York", "case_variant"),
        ("New  York", "In New York he ran Acme.", "New York", "spacing_variant"),
        ("司空 长史", "甲为司空长史。", "司空长史", "spacing_variant"),
        ("Jean-Luc", "Then Jean - Luc left.", "Jean - Luc", "spacing_variant"),
        ("us", "US troops and us", "us", ""),
        ("Us", "US troops and us", None, ""),
        ("the rapist", "a therapist", None, ""),
        ("NewYork", "In New York", None, ""),
        ("Acme Inc", "In Acme he", None, ""),
    ],
)
def test_case_and_white_space_are_repaired_where_one_wording_can_be_meant(
    schema: TaskSchema, written: str, text: str, mention: str | None, repair: str
) -> None:
    parsed = parse_answer(json.dumps({"实体": {"人物": [written]}, "关系": {}}), text, schema)
    assert {text[entity.start : entity.end] for entity in parsed.entities} == (
        {mention} if mention else set()
    )
    assert set(parsed.repairs) == ({repair} if repair else set())
    assert parsed.dropped_entities["not_in_text"] == (mention is None)


def test_mentions_in_pieces_stand_as_close_together_as_they_can(schema: TaskSchema) -> None:
    text = "左甲右，左臂与右臂。"
    answer = {
        "实体": {"人物": [{"片段": ["左", "臂"]}, {"pieces": ["甲"]}, {"片段": ["右", "甲"]}]}
    }
    parsed = parse_answer(json.dumps(answer), text, schema, entities_only=True)
    assert parsed.usable
    assert [entity.pieces for entity in parsed.discontinuous] == [((4, 5), (5, 6))]
    assert parsed.entities == (Entity("PER", 1, 2),)
    assert parsed.dropped_entities == {"not_in_text": 1}


def test_reasons_given_step_by_step_are_kept(schema: TaskSchema) -> None:
    answer = '{"思考过程":{"理解":"甲有子。","依据":"“甲之子”"},"真实的关系":[]}'
    parsed = parse_answer(answer, TEXT, schema)
    assert parsed.explanation == "理解: 甲有子。\n依据: “甲之子”"
    assert not parsed.repairs


def test_entities_are_enough_where_entities_were_asked_for(schema: TaskSchema) -> None:
    answer = '说明{"真实的实体":{"人物":["甲"]}}'
    assert parse_answer(answer, TEXT, schema, entities_only=True).usable
    assert not parse_answer(answer, TEXT, schema).usable
    more = '{"真实的实体":{"人物":["甲"]},"真实的关系":{"父":[["甲","乙"]]}}'
    assert not parse_answer(more, TEXT, schema, entities_only=True).triples


def test_a_triple_that_the_text_does_not_have_is_kept_apart(schema: TaskSchema) -> None:
    parsed = parse_answer('{"父":[["甲","丙"],["甲","乙"]]}', TEXT, schema)
    assert parsed.triples == (FATHER,)
    assert parsed.ungrounded == (Triple("甲", "丙", "父"),)


def test_entities_are_given_at_every_place_where_they_stand(schema: TaskSchema) -> None:
    answer = '{"实体":{"人物":[["甲",0.99],"丙"],"官名":["某官"]},"关系":{}}'
    parsed = parse_answer(answer, TEXT, schema)
    assert parsed.entities == (Entity("PER", 0, 1), Entity("PER", 12, 13))
    assert parsed.dropped_entities == {"not_in_text": 1, "unknown_type": 1}


def test_keeps_the_reasons(schema: TaskSchema) -> None:
    answer = '{"思考过程":"甲之子也。","真实的关系":{"父":[["甲","乙"]]}}'
    assert parse_answer(answer, TEXT, schema).explanation == "甲之子也。"
    prose = "乙是甲的儿子，所以甲是乙的父亲，应当补充这个关系。\n答案：\n" + '{"父":[["甲","乙"]]}'
    assert parse_answer(prose, TEXT, schema).explanation.startswith("乙是甲的儿子")


def test_the_explanation_can_be_encoded_whatever_was_escaped(schema: TaskSchema) -> None:
    parsed = parse_answer('{"思考过程":"\\ud800","关系":{"\\udfff":[["甲","乙"]]}}', TEXT, schema)
    parsed.explanation.encode()
    "".join(parsed.unknown_types).encode()


def test_a_hostile_answer_is_bounded(schema: TaskSchema) -> None:
    for answer in ("[" * 300_000, '{"a":' * 100_000, '{"' * 100_000, "{" * 300_000, '"' * 300_000):
        assert not parse_answer(answer, TEXT, schema).usable
    long = '{"父":[' + '["甲","乙"],' * (MAX_ANSWER_CHARS // 4)
    parsed = parse_answer(long, TEXT, schema)
    assert parsed.triples == (FATHER,)
    assert parsed.repairs["cut_to_limit"] == 1


def test_work_on_a_hostile_answer_to_a_hostile_text_is_bounded(schema: TaskSchema) -> None:
    """Each of these took minutes or more while places, pieces or loose matches had no limit."""
    text = "甲乙丙 ab " * 2_500
    pieces = {"片段": ["甲", "乙", "丙", "甲", "乙", "丙", "a b", "甲"]}
    for value in (
        {"父": [[f"戊{number}", f"己{number}"] for number in range(15_000)]},
        {"实体": {"人物": ["甲", "乙", "丙", pieces] * 1_000}, "关系": {}},
        {"父": [["甲乙丙 AB " * 12 + str(number), "甲"] for number in range(2_000)]},
        {"父": [["甲", "乙"]] * 10_000},
    ):
        parsed = parse_answer(json.dumps(value, ensure_ascii=False), text, schema)
        assert len(parsed.triples) + len(parsed.ungrounded) <= 2_000
        assert len(parsed.entities) <= 3_000


SCHEMA = TaskSchema(
    "t", "zh", (EntityType("PER", "人物"),), (RelationType("父"), RelationType("其他"))
)
_marks = st.sampled_from([*"{}[]()\"',:\\\n“” ", "```", "\\u12", "\ud800", "null", "True"])
_words = st.sampled_from(["json", "关系", "实体", "思考过程", "父", "人物", "甲", "乙", "0.9"])
_fragments = _marks | _words
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from("甲乙"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["关系", "实体", "父", "人物", "head", "tail", "type", "x"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def _check(parsed: ParsedAnswer, text: str) -> None:
    assert all(triple.head in text and triple.tail in text for triple in parsed.triples)
    assert all(triple.head != triple.tail for triple in parsed.triples)
    assert {triple.type for triple in parsed.triples} <= {"父", "其他"}
    assert len(set(parsed.triples)) == len(parsed.triples)
    assert all(0 <= entity.start < entity.end <= len(text) for entity in parsed.entities)
    parsed.explanation.encode()


@settings(deadline=None)
@given(st.text() | st.lists(_fragments, max_size=40).map("".join), st.text() | st.just("甲乙"))
def test_no_text_makes_it_fail(answer: str, text: str) -> None:
    """Any answer to any text: grounded triples of the schema, or none."""
    _check(parse_answer(answer, text, SCHEMA), text)


@settings(deadline=None)
@given(_values)
def test_no_json_makes_it_fail(value: object) -> None:
    """Any JSON value: grounded triples of the schema, or none."""
    _check(parse_answer(json.dumps(value), "甲乙", SCHEMA), "甲乙")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("甲乙丙"), st.sampled_from("甲乙丙"), st.sampled_from(["父", "其他"])
        ).filter(lambda triple: triple[0] != triple[1]),
        unique=True,
    ),
    st.sampled_from(["json", "python", "fence", "cut out"]),
)
def test_a_well_formed_answer_is_read_without_loss(
    triples: list[tuple[str, str, str]], form: str
) -> None:
    relations: dict[str, list[list[str]]] = {}
    for head, tail, kind in triples:
        relations.setdefault(kind, []).append([head, tail])
    value = {"实体": {}, "关系": relations}
    written = {
        "json": json.dumps(value),
        "python": repr(value),
        "fence": f"```json\n{json.dumps(value, indent=1)}\n```\n说明",
        "cut out": f"回答{{如下}}：{value!r}。完",
    }[form]
    parsed = parse_answer(written, "甲乙丙", SCHEMA)
    assert parsed.usable
    assert set(parsed.triples) == {Triple(*triple) for triple in triples}
