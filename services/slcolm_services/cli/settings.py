"""What a command's services are configured with: a file, and options over it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.roles import config_type
from slcolm_services.embedded import refuse_unusable
from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.guidance.config import OPENAI, REPLAY, GuidanceConfig
from slcolm_services.runtime.config import Given, ServerConfig, load_section, read_file
from slcolm_services.runtime.telemetry_config import TelemetryConfig

config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=existing_file,
    help="TOML file with settings of the services, such as [[guidance.models]]; options win over "
    "it. Where the services listen and keep their state is not for it to say.",
)


_SHARED: Mapping[str, type[Any]] = {"server": ServerConfig, "telemetry": TelemetryConfig}


def read_settings(path: Path | None) -> dict[str, dict[str, Any]]:
    """The sections of a configuration file for services that this command starts.

    The `[guidance]` section is checked when the options that go with it are known.

    Raises:
        ConfigInvalid: The file cannot be read, has a section or a key that nothing knows or that is
            not for it to say, or a wrong value; `violations` names each with its place.
    """
    if path is None:
        return {}
    sections = read_file(path)
    refuse_unusable(sections, place=f"{path}: ")
    for section in sections.keys() - {"guidance"}:
        kind = _SHARED.get(section) or config_type(section)
        load_section(kind, section, path=path, environ=os.environ)
    return sections


def refuse_both(config_path: Path | None, coordinator: str | None) -> None:
    """Refuse settings for services that are running already.

    Raises:
        ConfigInvalid: Both options were given.
    """
    if config_path is not None and coordinator is not None:
        problem = "is for services that the command starts; those of --coordinator have their own"
        raise ConfigInvalid(f"--config {problem}", violations=[FieldViolation("--config", problem)])


@dataclass(frozen=True)
class Configured:
    """What the services of a command are configured with.

    Attributes:
        settings: The sections, for the services.
        guidance: The guidance section as it will be in force.
        asked: Names of the providers that will be asked, the default one first.
    """

    settings: dict[str, dict[str, Any]]
    guidance: GuidanceConfig
    asked: tuple[str, ...]

    @property
    def priced(self) -> bool:
        """Whether any model that will be asked has a price."""
        return any(
            model.prompt_price or model.completion_price
            for model in self.guidance.all_models()
            if model.name in self.asked
        )


def configure(
    config_path: Path | None,
    *,
    provider: str | None,
    recordings: Sequence[Path],
    llm_base_url: str | None,
    llm_model: str | None,
    llm_key_env: str | None,
    prompt_price: float = 0.0,
    completion_price: float = 0.0,
    currency: str = "",
    other_providers: Sequence[str] = (),
) -> Configured:
    """Settings of the services from the configuration file and the options over it.

    Args:
        config_path: The file; None for none.
        provider: Who guides; None: the file's, else the offline rules.
        recordings: Files of recorded answers; none: the file's.
        llm_base_url: Endpoint of the model `openai`; None: the file's.
        llm_model: Its name there; None: the file's.
        llm_key_env: Environment variable that holds its key, empty where it needs none; None: the
            file's.
        prompt_price: Its price of a million prompt tokens; 0: the file's.
        completion_price: Its price of a million tokens of answers; 0: the file's.
        currency: Currency of all prices; empty: the file's.
        other_providers: Who is asked beside `provider`.

    Raises:
        ConfigInvalid: The file or an option is wrong, or one does not go with another;
            `violations` names each with its place.
    """
    settings = read_settings(config_path)
    unread = [path for path in recordings if not path.is_file()]
    if unread:
        raise ConfigInvalid(
            "recordings cannot be read",
            violations=[FieldViolation(str(path), "is not a file") for path in unread],
        )
    of_openai = {
        "--llm-model": ("model", llm_model),
        "--llm-base-url": ("base_url", llm_base_url),
        "--llm-key-env": ("api_key_env", llm_key_env),
        "--prompt-price": ("prompt_price", prompt_price or None),
        "--completion-price": ("completion_price", completion_price or None),
    }
    options = {
        **of_openai,
        "--recordings": ("recordings", [str(path.absolute()) for path in recordings] or None),
        "--currency": ("currency", currency or None),
    }
    given = [
        Given(name, option, value) for option, (name, value) in options.items() if value is not None
    ]
    config = load_section(
        GuidanceConfig, "guidance", path=config_path, environ=os.environ, options=given
    )
    provider = provider or config.provider
    asked = (provider, *other_providers)
    options_given = {item.place for item in given}
    violations = [
        *_not_there("--guide", provider, config),
        *(v for name in other_providers for v in _not_there("--also-guide", name, config)),
        *_for_nobody(options_given & of_openai.keys(), OPENAI, asked, config),
        *_for_nobody(options_given & {"--recordings"}, REPLAY, asked, config),
    ]
    if violations:
        raise ConfigInvalid(
            "; ".join(f"{v.field} {v.problem}" for v in violations), violations=violations
        )
    settings["guidance"] = {
        **settings.get("guidance", {}),
        **{item.name: item.value for item in given},
        "provider": provider,
    }
    return Configured(settings, replace(config, provider=provider), asked)


def _not_there(option: str, name: str, config: GuidanceConfig) -> Iterator[FieldViolation]:
    """Why a provider that an option names cannot be asked."""
    known = config.provider_names()
    if name not in known:
        yield FieldViolation(option, f"{name} is not known; known are {', '.join(known)}")
    elif name == REPLAY and not config.recordings:
        yield FieldViolation(option, f"{name} needs --recordings FILE")
    elif name == OPENAI and OPENAI not in (model.name for model in config.all_models()):
        yield FieldViolation(option, f"{name} needs --llm-model NAME")


def _for_nobody(
    options: Collection[str], provider: str, asked: Collection[str], config: GuidanceConfig
) -> Iterator[FieldViolation]:
    """Options that would do nothing: their provider is not asked, or is another one."""
    for option in sorted(options):
        if provider not in asked:
            yield FieldViolation(option, f"goes with --guide {provider} only")
        elif provider in (model.name for model in config.models):
            yield FieldViolation(option, f"is for the file to say, in its table for {provider}")
