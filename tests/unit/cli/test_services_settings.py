"""Settings of services that a command starts: a file, options, and what neither may say."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.cli.settings import Configured, configure, read_settings, refuse_both
from slcolm_services.embedded import Embedded
from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret, ServerConfig, load_section

TWO_MODELS = """
[guidance]
provider = "local"
currency = "CNY"

[[guidance.models]]
name = "local"
model = "qwen3"

[[guidance.models.endpoints]]
base_url = "http://localhost:8000/v1"
api_key_env = ""

[[guidance.models]]
name = "hosted"
model = "deepseek-chat"
prompt_price = 0.27
extra_body = {thinking = {type = "disabled"}, stop = ["。", "\\n"]}

[[guidance.models.endpoints]]
base_url = "https://api.deepseek.com/v1"
api_key_env = "DEEPSEEK_API_KEY"

[[guidance.models.endpoints]]
base_url = "http://gpu-1:8000/v1"
api_key_env = ""

[retrieval]
rrf_k = 30
"""
SINGLE = '[guidance]\nprovider = "openai"\nmodel = "qwen3"\nbase_url = "http://a/v1"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "slcolm.toml"


def configured(path: Path | None, text: str = "", **options: Any) -> Configured:
    if path is not None:
        path.write_text(text, encoding="utf-8")
    no_options: dict[str, Any] = {
        "provider": None,
        "recordings": (),
        "llm_base_url": None,
        "llm_model": None,
        "llm_key_env": None,
    }
    return configure(path, **no_options | options)


def refused(path: Path | None, text: str = "", **options: Any) -> tuple[FieldViolation, ...]:
    with pytest.raises(ConfigInvalid) as caught:
        configured(path, text, **options)
    return tuple(caught.value.violations)


def test_without_a_word_the_rules_guide() -> None:
    assert configured(None).settings == {"guidance": {"provider": "offline"}}


def test_the_file_is_passed_on_as_it_is(file: Path) -> None:
    assert configured(file, TWO_MODELS).settings == tomllib.loads(TWO_MODELS)


@pytest.mark.parametrize("name", ["offline", "local", "hosted"])
def test_every_configured_name_may_guide(file: Path, name: str) -> None:
    found = configured(file, TWO_MODELS, provider=name, other_providers=("hosted",))
    assert found.settings["guidance"]["provider"] == found.guidance.provider == name
    assert found.asked == (name, "hosted")


def test_options_win_over_the_file_and_leave_the_rest_of_it(file: Path) -> None:
    found = configured(file, SINGLE, llm_model="tiny", llm_key_env="", prompt_price=2.0)
    assert found.settings["guidance"] == {
        "provider": "openai",
        "model": "tiny",
        "base_url": "http://a/v1",
        "api_key_env": "",
        "prompt_price": 2.0,
    }
    assert (found.guidance.model, found.guidance.prompt_price) == ("tiny", 2.0)


def test_the_example_of_the_documentation_can_be_used(file: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "guidance.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"Several models,.*?```toml\n(.*?)```", text, re.DOTALL)
    found = configured(file, example, other_providers=("deepseek",))
    assert found.asked == ("local", "deepseek")
    assert [len(model.endpoints) for model in found.guidance.models] == [1, 2]


def test_a_price_counts_where_its_model_is_asked(file: Path) -> None:
    assert not configured(file, TWO_MODELS).priced
    assert configured(file, TWO_MODELS, other_providers=("hosted",)).priced


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"provider": "hostd"}, "--guide"),
        ({"other_providers": ("local", "hostd")}, "--also-guide"),
    ],
)
def test_an_unknown_name_is_told_the_known_ones(
    file: Path, options: dict[str, Any], option: str
) -> None:
    known = "offline, replay, openai, local, hosted"
    assert refused(file, TWO_MODELS, **options) == (
        FieldViolation(option, f"hostd is not known; known are {known}"),
    )


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        (TWO_MODELS, {"provider": "openai"}, "--guide"),
        (TWO_MODELS, {"provider": "replay"}, "--guide"),
        (TWO_MODELS, {"other_providers": ("replay",)}, "--also-guide"),
        (TWO_MODELS, {"llm_model": "tiny"}, "--llm-model"),
        (TWO_MODELS, {"provider": "hosted", "prompt_price": 1.0}, "--prompt-price"),
        (TWO_MODELS, {"recordings": [Path(__file__)]}, "--recordings"),
        (
            TWO_MODELS.replace('"hosted"', '"openai"'),
            {"provider": "openai", "llm_base_url": "http://b/v1"},
            "--llm-base-url",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    file: Path, text: str, options: dict[str, Any], option: str
) -> None:
    assert [violation.field for violation in refused(file, text, **options)] == [option]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[guidance]\nledger_url = "sqlite:///x"', "[guidance] ledger_url"),
        ("[server]\nport = 1", "[server] port"),
        ('[coordinator]\nguidance_address = "a:1"', "[coordinator] guidance_address"),
        ('[retrieval]\nqdrant_url = "http://q:6333"', "[retrieval] qdrant_url"),
        ("[retreival]\nrrf_k = 30", "retreival"),
        ("guidance = 3", "guidance"),
        ("[retrieval]\nrrf = 30", "[retrieval] rrf"),
        ('[server]\nlog_level = "loud"', "[server] log_level"),
        ('[guidance]\nprovider = "none"', "[guidance] provider"),
    ],
)
def test_what_a_file_cannot_say_is_named_with_its_place(file: Path, text: str, place: str) -> None:
    assert [violation.field for violation in refused(file, text)] == [f"{file}: {place}"]


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"slcolm\.toml cannot be read"):
        read_settings(file)


def test_services_that_run_already_take_no_file(file: Path) -> None:
    with pytest.raises(ConfigInvalid, match="--coordinator"):
        refuse_both(file, "localhost:50050")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ('api_key_env = "sk-0123456789abcdef"', "api_key_env"),
        (
            'api_key_env = ""\nbase_url = "https://me:sk-0123456789abcdef@api.example/v1"',
            "base_url",
        ),
    ],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(file: Path, wrong: str, field: str) -> None:
    text = f'[[guidance.models]]\nname = "a"\nmodel = "a"\n[[guidance.models.endpoints]]\n{wrong}\n'
    with pytest.raises(ConfigInvalid) as caught:
        configured(file, text)
    assert "sk-0123456789abcdef" not in str(caught.value) + str(caught.value.violations)
    assert field in str(caught.value)


@pytest.mark.parametrize("role", ROLES)
def test_no_secret_of_any_service_can_get_into_a_home(role: str) -> None:
    """A setting that may hold a password is the home's own or the environment's."""
    kinds = typing.get_type_hints(config_type(role))
    secrets = [
        item.name for item in dataclasses.fields(config_type(role)) if kinds[item.name] is Secret
    ]
    for name in secrets:
        with pytest.raises(ConfigInvalid, match="settings of the services"):
            Embedded(Path("home"), settings={role: {name: "s3cret"}})


@pytest.mark.parametrize("role", ROLES)
def test_what_a_home_is_written_is_what_its_services_read(
    tmp_path: Path, file: Path, role: str
) -> None:
    """Nested tables survive, and nothing of a home's own can be said by somebody else."""
    embedded = Embedded(tmp_path / "home", settings=configured(file, TWO_MODELS).settings)
    written = tmp_path / "written.toml"
    sections = embedded._role_settings(role)
    written.write_text(tomli_w.dumps(sections), encoding="utf-8")

    config = load_section(config_type(role), role, path=written, environ={})
    load_section(ServerConfig, "server", path=written, environ={})

    if role == "guidance":
        models = {model.name: model for model in config.models}
        assert models["hosted"].extra_body["thinking"] == {"type": "disabled"}
        assert [where.base_url for where in models["hosted"].endpoints] == [
            "https://api.deepseek.com/v1",
            "http://gpu-1:8000/v1",
        ]
    for section, values in sections.items():
        for name in values.keys() - tomllib.loads(TWO_MODELS).get(section, {}).keys():
            with pytest.raises(ConfigInvalid, match="settings of the services"):
                Embedded(tmp_path, settings={section: {name: "other"}})
