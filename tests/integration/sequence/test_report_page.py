"""The page of a run in a browser: it runs without errors or network, filters, and draws arrows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from support.browser import CHROMIUM, Tab, browser
from support.pages import GOLD, line, reliability, report

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.coordinator.page import render_page
from slcolm_services.corpus.documents import Document, Entity, Relation

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
EVIL = "</script><script>console.error('ran')</script><img onerror=console.error('ran')>"
ENGLISH = "Alexander Hamilton was born on Nevis and married Elizabeth Schuyler in Albany. " * 3
KIN = Document(
    id="kin",
    text="𠀀" + GOLD.text + EVIL,
    entities=tuple(Entity(e.type, e.start + 1, e.end + 1) for e in GOLD.entities),
    relations=GOLD.relations,
)
LONG = Document(
    id="long",
    text=ENGLISH,
    entities=(
        Entity("PER", 0, 18),
        Entity("LOC", 31, 36),
        Entity("PER", 49, 67),
        Entity("LOC", 229, 235),
    ),
    relations=(Relation("父", 0, 3),),
)
SENTENCES = 250


def _report() -> dict[str, Any]:
    value = report()
    value["calibration"] = {
        "method": "temperature",
        "before": reliability(),
        "after": reliability(),
        "merged": reliability(),
    }
    point = {"threshold": 0.5, "p": 0.5, "r": 0.5}
    value["precision_recall"] = {"slm": [point], "merged": [point]}
    value["average_precision"] = {"slm": 0.5, "merged": 0.5}
    figures = {"p": 0.5, "r": 0.5, "f": 0.5}
    for name in ("slm", "merged"):
        value[name]["spans"] = dict.fromkeys(("entities", "ner_type", "relations_strict"), figures)
    value["policy"]["runners_up"] = [
        {
            "mode": "replace-weak",
            "threshold": 0.6,
            "rare_below": 20,
            "entity_filter": "text",
            "objective": 0.5,
            "objective_standard_error": 0.1,
            "gap": 0.1,
            "gap_standard_error": 0.1,
        }
    ]
    value["policy"]["confidence"] = {
        "sources": ["llm"],
        "intercept": 0.5,
        "weights": {"agreement": 1.0, "competing": -2.0},
        "threshold": 0.5,
    }
    return value


def _kin() -> dict[str, Any]:
    return line("kin", text=KIN.text, note=EVIL) | {
        "entities": [
            {"type": entity.type, "start": entity.start, "end": entity.end}
            for entity in KIN.entities[:2]
        ]
    }


def _long() -> dict[str, Any]:
    triple = {"head": "Alexander Hamilton", "tail": "Nevis", "type": "任职"}
    return {
        "id": "long",
        "text": LONG.text,
        "entities": [{"type": e.type, "start": e.start, "end": e.end} for e in LONG.entities],
        "relations": [{"type": "任职", "head": 0, "tail": 1}],
        "triples": [{**triple, "sources": ["slm"], "prob": 0.4}],
        "revisions": [
            {"kind": "added", **triple},
            # Right, but the merged triples do not have it.
            {"kind": "added", "head": "Alexander Hamilton", "tail": "Albany", "type": "父"},
        ],
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    # These have no gold, and so no missed triples.
    others = [line(f"office-{n}") | {"revisions": []} for n in range(SENTENCES)]
    page = render_page(_report(), [*others, _kin(), _long()], [KIN, LONG], seconds={"train": 1.0})
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def tab(chromium: Tab) -> Iterator[Tab]:
    """A tab whose page must neither complain nor ask the network for anything."""
    chromium.view()
    yield chromium
    assert chromium.complaints() == []
    assert len(set(chromium.requested())) == 1


def _ids(tab: Tab) -> list[str]:
    ids: list[str] = tab.evaluate(
        "[...document.querySelectorAll('article header a')].map(link => link.textContent)"
    )
    return ids


def _told(tab: Tab) -> str:
    return str(tab.evaluate("document.getElementById('shown').textContent"))


def _choose(tab: Tab, control: str, value: str) -> None:
    tab.evaluate(
        f"{{ const c = document.getElementById('{control}'); c.value = '{value}';"
        " c.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    tab.settle()


@needs_browser
def test_at_most_a_hundred_sentences_are_rendered_and_more_on_demand(tab: Tab, url: str) -> None:
    tab.open(url)

    assert len(_ids(tab)) == 100
    assert _told(tab) == "Showing 100 of 252 that match, of 252 sentences."
    tab.evaluate("document.getElementById('more').click()")
    assert len(_ids(tab)) == 200


@needs_browser
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (f"relation={quote('父')}", ["kin", "long"]),
        (f"relation={quote('任职')}&kind=missed", []),
        ("kind=missed", ["kin", "long"]),
        ("kind=changed-right", ["kin"]),
        ("kind=changed-wrong", ["kin", "long"]),
        ("kind=disagree", ["kin", "long"]),
        ("id=kin", ["kin"]),
        ("search=hamilton", ["long"]),
        ("search=office-17&kind=nosuchkind", ["office-17", *(f"office-17{n}" for n in range(10))]),
    ],
)
def test_the_hash_selects(tab: Tab, url: str, selection: str, expected: list[str]) -> None:
    tab.open(f"{url}#{selection}")

    assert _ids(tab) == expected
    assert f"of {len(expected)} that match" in _told(tab)


@needs_browser
def test_controls_select_together_and_the_hash_follows(tab: Tab, url: str) -> None:
    tab.open(url)

    _choose(tab, "kind", "missed")
    _choose(tab, "search", "nevis")

    assert _ids(tab) == ["long"]
    assert tab.evaluate("location.hash") == "#kind=missed&search=nevis"
    tab.evaluate("document.getElementById('reset').click()")
    assert "252 that match" in _told(tab)


@needs_browser
def test_the_link_of_a_type_shows_its_sentences(tab: Tab, url: str) -> None:
    tab.open(url)

    tab.evaluate(f"document.querySelector('.tail a[href=\"#relation={quote('父')}\"]').click()")
    tab.settle()

    assert _ids(tab) == ["kin", "long"]
    assert tab.evaluate("document.getElementById('relation').value") == "父"


@needs_browser
def test_mentions_are_highlighted_by_code_point_and_missed_ones_apart(tab: Tab, url: str) -> None:
    tab.open(f"{url}#id=kin")

    marks = tab.evaluate(
        "[...document.querySelectorAll('mark')].map(m => [m.title, m.textContent, m.className])"
    )
    assert marks == [["PER", "甲", ""], ["OFI", "太守", ""], ["PER (missed)", "乙", "gone"]]


@needs_browser
def test_an_arrow_runs_from_head_to_tail_above_the_text(tab: Tab, url: str) -> None:
    tab.open(f"{url}#id=kin")

    arrows = tab.evaluate("""(() => {
      const box = node => node.getBoundingClientRect();
      const marks = [...document.querySelectorAll('mark')].map(box);
      return [...document.querySelectorAll('.arc')].map(arc => {
        const tip = box(arc.querySelector('.tip')), x = (tip.left + tip.right) / 2;
        const at = marks.findIndex(mark => mark.left <= x && x <= mark.right);
        const above = box(arc.querySelector('text')).bottom < marks[0].top;
        return [arc.getAttribute('class'), arc.textContent, at, above];
      });
    })()""")
    assert arrows == [
        ["arc right", "任职", 1, True],
        ["arc missed", "父", 2, True],
    ]


@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize(("name", "parts"), [("kin", 2), ("long", 3)])
def test_arrows_cover_neither_words_nor_each_other(
    tab: Tab, url: str, width: int, name: str, parts: int
) -> None:
    """The arrows of `kin` share a line. `long` wraps: an arrow between lines is in two parts."""
    tab.view(width=width)
    tab.open(f"{url}#id={name}")

    drawn = tab.evaluate("""(() => {
      const all = (chosen) => [...document.querySelectorAll(chosen)];
      const box = node => node.getBoundingClientRect(), around = box(all('.text')[0]);
      const labels = all('.arc text').map(box), range = document.createRange();
      range.selectNodeContents(all('.text p')[0]);
      const words = [...range.getClientRects()].filter(rect => rect.width > 2);
      const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
        && a.top < b.bottom - 3 && b.top < a.bottom - 3;
      const arrows = all('.arc path:not(.tip)').map(box);
      const apart = (a, b) => a.right <= b.left || b.right <= a.left || Math.abs(a.top - b.top) > 5;
      const inside = a => a.left >= around.left - 1 && a.right <= around.right + 1;
      return {
        parts: labels.length,
        inside: labels.every(inside),
        clear: labels.every((a, i) => labels.every((b, j) => i === j || !over(a, b))),
        readable: labels.every(label => !words.some(word => over(label, word))),
        apart: arrows.every((a, i) => arrows.every((b, j) => i === j || apart(a, b))),
      };
    })()""")
    assert drawn["inside"]
    assert drawn["clear"]
    assert drawn["apart"]
    assert drawn["readable"]
    assert drawn["parts"] >= parts


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_no_page_scrolls_sideways_in_any_theme(tab: Tab, url: str, width: int, dark: bool) -> None:
    tab.view(width=width, dark=dark)
    tab.open(f"{url}#id=kin")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background != "rgb(255, 255, 255)") == dark


@needs_browser
def test_figures_are_shown_where_the_pointer_is_and_hidden_by_escape(tab: Tab, url: str) -> None:
    tab.open(url)

    tab.evaluate("document.querySelector('.tail a').focus()")
    # Focus scrolls the page; the figures stay.
    tab.settle()
    assert "222 in training, 3 in test" in tab.evaluate(
        "document.getElementById('tip').textContent"
    )
    assert tab.evaluate("!document.getElementById('tip').hidden")
    tab.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert tab.evaluate("document.getElementById('tip').hidden")


@needs_browser
def test_everything_that_can_be_used_has_a_name_and_ids_are_unique(tab: Tab, url: str) -> None:
    tab.open(url)

    nameless = tab.evaluate("""(() => {
      const used = document.querySelectorAll('a, button, select, input, svg[role=img]');
      const titled = node => document.getElementById(node.getAttribute('aria-labelledby'));
      const named = node => node.textContent.trim() || node.getAttribute('aria-label')
        || node.labels?.length || titled(node)?.textContent.trim();
      return [...used].filter(node => !named(node)).map(node => node.outerHTML);
    })()""")
    repeated = tab.evaluate("""[...document.querySelectorAll('[id]')].map(n => n.id)
      .filter((id, i, all) => all.indexOf(id) !== i)""")
    assert nameless == []
    assert repeated == []


@needs_browser
def test_what_is_printed_is_open_and_has_its_arrows(tab: Tab, url: str) -> None:
    tab.open(f"{url}#kind=missed")

    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("[...document.querySelectorAll('details')].every(part => part.open)")
    assert tab.evaluate("document.querySelectorAll('.arc').length") >= 4
    tab.evaluate("dispatchEvent(new Event('afterprint'))")


def test_a_run_leaves_its_page_with_the_times_of_the_stages_before(
    client: Client, run: coordinator_pb2.Run
) -> None:
    page = client.download(run.id, "report.html").decode()

    assert run.id in page
    for stage in run.stages:
        assert (f'<tr><th scope="row">{stage.name}</th>' in page) == (stage.name != "report")
