"""Builds the guidance service from its configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from google.protobuf.message import Message

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.measures import GuidanceMeasures
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import Provider
from slcolm_services.guidance.providers.batch import BatchProvider
from slcolm_services.guidance.providers.offline import OfflineProvider
from slcolm_services.guidance.providers.replay import ReplayProvider
from slcolm_services.guidance.servicer import GuidanceServicer
from slcolm_services.guidance.usage import Prices, RunBudget
from slcolm_services.runtime.database import make_folder_of
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service


def build(config: GuidanceConfig) -> Service:
    """Make the service; nothing is opened before it is started.

    Raises:
        ConfigInvalid: The endpoint's key is not in the environment, or the ledger's URL is wrong.
    """
    measures = GuidanceMeasures()
    guidance = build_guidance(config, measures)

    def register(server: grpc.aio.Server) -> None:
        guidance_pb2_grpc.add_GuidanceServiceServicer_to_server(
            GuidanceServicer(guidance, config), server
        )

    async def start() -> None:
        await asyncio.to_thread(make_folder_of, config.ledger_url)
        await guidance.open()

    return Service(
        name=guidance_pb2.DESCRIPTOR.services_by_name["GuidanceService"].full_name,
        register=register,
        start=start,
        stop=guidance.close,
        cost=_cost,
        collectors=measures.collectors,
        dependencies=[
            Dependency("ledger", guidance.check_ledger),
            # What is in the ledger is answered without it.
            *(
                Dependency(f"provider/{info.name}", _check_of(guidance, info.name), needed=False)
                for info in guidance.providers()
                if info.metered
            ),
        ],
        roles={
            "RenderPrompt": Role.READ,
            "ListProviders": Role.READ,
            "GetUsage": Role.READ,
            "GetBatch": Role.READ,
            "ListBatches": Role.READ,
            "Guide": Role.WRITE,
            "Annotate": Role.WRITE,
            "SubmitBatch": Role.WRITE,
            "CancelBatch": Role.WRITE,
        },
    )


def _check_of(guidance: Guidance, provider: str) -> Callable[[], Awaitable[None]]:
    return lambda: guidance.check_provider(provider)


def build_guidance(config: GuidanceConfig, measures: GuidanceMeasures | None = None) -> Guidance:
    """Make what the service wraps: providers by name over one ledger.

    Args:
        config: Of the service.
        measures: Where the work is counted.

    Raises:
        ConfigInvalid: The endpoint's key is not in the environment, or the ledger's URL is wrong.
    """
    limits = RunBudget(config.max_calls, config.max_tokens, config.max_cost)
    ledger = Ledger(config.ledger_url, limits)
    measures = measures or GuidanceMeasures()
    providers, batch_providers = _providers(config, measures)
    return Guidance(providers, config.provider, ledger, batch_providers, measures)


def _providers(
    config: GuidanceConfig, measures: GuidanceMeasures
) -> tuple[dict[str, Provider], dict[str, BatchProvider]]:
    """Every provider, and those that take batches, by name."""
    window = Window(config.context_tokens, config.max_answer_tokens)
    providers: dict[str, Provider] = {
        "offline": OfflineProvider("offline", window, config.min_probability)
    }
    if config.recordings:
        paths = tuple(Path(path) for path in config.recordings)
        providers["replay"] = ReplayProvider("replay", paths, window)
    batch_providers: dict[str, BatchProvider] = {}
    models = config.all_models()
    if models:
        # The client library takes a third of a second to import: only who uses it pays.
        from slcolm_services.guidance.providers.endpoint import Endpoint  # noqa: PLC0415
        from slcolm_services.guidance.providers.openai import OpenAIProvider  # noqa: PLC0415
        from slcolm_services.guidance.providers.openai_batch import OpenAIBatches  # noqa: PLC0415

        for model in models:
            prices = Prices(
                model.prompt_price, model.cached_price, model.completion_price, config.currency
            )
            endpoints = [
                Endpoint(where, model, where.api_key(), prices, measures)
                for where in model.endpoints
            ]
            providers[model.name] = OpenAIProvider(model, endpoints, prices, measures)
            if model.takes_batches:
                batch_providers[model.name] = OpenAIBatches(
                    model.name, model.model, endpoints[0], prices * model.batch_price_factor
                )
    return providers, batch_providers


def _cost(request: Message) -> int:
    """Items of a request."""
    if isinstance(
        request,
        guidance_pb2.GuideRequest
        | guidance_pb2.RenderPromptRequest
        | guidance_pb2.SubmitBatchRequest,
    ):
        return max(len(request.items), 1)
    if isinstance(request, guidance_pb2.AnnotateRequest):
        return max(len(request.documents), 1)
    return 1
