"""The models that a process holds: which are loaded, and which one is meant by default."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from slcolm_services.corpus.files import replacing
from slcolm_services.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ModelInvalid,
    ModelNotFound,
    SlcolmError,
)
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.engine import Engine
from slcolm_services.model.folder import read_dev_scores
from slcolm_services.runtime.folders import folder_revision
from slcolm_services.runtime.store import ArtifactStore

_KIND = "models"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        revision: Its name in the artifact store.
        engine: What runs it.
        dev_scores: Metric name to value, from the model card.
    """

    revision: str
    engine: Engine
    dev_scores: Mapping[str, float]


class Registry:
    """Loads models and finds them by revision. Safe to use from many threads; blocks while loading.

    Loading is exclusive, so that two calls for one revision load it once. Finding a loaded model
    never waits for a load.
    """

    def __init__(self, store: ArtifactStore, config: ExtractionConfig) -> None:
        self._store = store
        self._config = config
        # Used longest ago first.
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._default: str | None = None
        self._models_lock = threading.Lock()
        self._loading = threading.Lock()

    def get(self, revision: str = "") -> LoadedModel:
        """A loaded model; the default one where no revision is named.

        Raises:
            ModelNotFound: It is not loaded.
        """
        with self._models_lock:
            name = revision or self._default
            if name is None:
                raise ModelNotFound("no model is loaded yet; load one with LoadModel")
            if name not in self._models:
                raise ModelNotFound(
                    f"model {name!r} is not loaded; load it with LoadModel",
                    metadata={"revision": name},
                )
            self._models.move_to_end(name)
            return self._models[name]

    def is_default(self, revision: str) -> bool:
        """Whether a call that names no revision gets this one."""
        with self._models_lock:
            return revision == self._default

    def load(self, revision: str) -> LoadedModel:
        """Load a revision from the artifact store, unless it is loaded, and make it the default.

        A model that fails to load leaves the loaded ones and the default as they were.

        Raises:
            ModelNotFound: The store has no such revision.
            ModelInvalid: The revision is damaged or its files do not fit together.
        """
        with self._loading:
            model = self.find_loaded(revision)
            if model is None:
                folder = self._fetch(revision)
                # The store has checked the files against the revision.
                engine = Engine.load(folder, self._config, verify=False)
                model = LoadedModel(revision, engine, read_dev_scores(folder))
            self._keep(model)
            self._remember(revision)
            return model

    def restore(self) -> None:
        """Load what the process before this one had as default; nothing where that cannot be."""
        try:
            revision = self._memory.read_text(encoding="ascii")
            self.load(revision)
        except FileNotFoundError:
            return
        except (OSError, ValueError, SlcolmError) as error:
            _log.warning("the last model is not loaded again", error=str(error))
        else:
            _log.info("the last model is loaded again", revision=revision)

    def load_folder(self, folder: Path) -> LoadedModel:
        """Load a model folder that need not be in the store, and make it the default.

        Raises:
            ModelNotFound: There is no model folder at the path.
            ModelInvalid: The folder is damaged or its files do not fit together.
        """
        with self._loading:
            engine = Engine.load(folder, self._config)
            return self._keep(LoadedModel(folder_revision(folder), engine, read_dev_scores(folder)))

    def revisions(self) -> list[str]:
        """Revisions that are loaded or in the store, in alphabetical order."""
        stored = self._store.list(_KIND)
        with self._models_lock:
            return sorted({*stored, *self._models})

    def find_loaded(self, revision: str) -> LoadedModel | None:
        """The model if it is loaded; this does not count as use of it."""
        with self._models_lock:
            return self._models.get(revision)

    def _fetch(self, revision: str) -> Path:
        try:
            return self._store.fetch_folder(_KIND, revision, self._config.cache_dir / _KIND)
        except ArtifactNotFound as error:
            raise ModelNotFound(
                f"the artifact store has no model {revision!r}", metadata={"revision": revision}
            ) from error
        except ArtifactCorrupt as error:
            raise ModelInvalid(error.message, metadata=error.metadata) from error

    @property
    def _memory(self) -> Path:
        return self._config.cache_dir / "default-model"

    def _remember(self, revision: str) -> None:
        try:
            with replacing(self._memory) as file:
                file.write(revision)
        except SlcolmError as error:
            # It serves; only the next process will have to be told.
            _log.warning("the default model is not remembered", error=error.message)

    def _keep(self, model: LoadedModel) -> LoadedModel:
        with self._models_lock:
            self._models[model.revision] = model
            self._models.move_to_end(model.revision)
            self._default = model.revision
            while len(self._models) > self._config.max_loaded_models:
                # Calls that are using it keep it alive until they are done.
                self._models.popitem(last=False)
            return model
