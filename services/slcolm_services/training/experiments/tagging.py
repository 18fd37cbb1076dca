"""One cell with the token classifier."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from slcolm_services.corpus.documents import Document
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.choice import choose_encoder
from slcolm_services.training.encoder import load_encoder
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.examples import Examples, build_examples
from slcolm_services.training.experiments.cells import Cell, data_of, options_of
from slcolm_services.training.experiments.config import Experiment, ExperimentData
from slcolm_services.training.experiments.results import Outcome, Result, result_of
from slcolm_services.training.options import settle
from slcolm_services.training.tagging.tagger import tag, train_tagger
from slcolm_services.training.train import course_of, threads_for
from slcolm_services.training.vocabulary import has_spaces


def train_tagger_cell(
    cell: Cell, experiment: Experiment, data: ExperimentData, folder: Path
) -> Result:
    """Train a token classifier and score it on test; nothing of it is kept.

    Test sentences that are too long for it have nothing found in them.

    Side effects: sets torch's number of threads for this process.
    """
    del folder
    started = time.monotonic()
    original, distilled = data_of(cell.condition, data)
    texts = [document.text for document in (*original, *distilled)]
    options = options_of(cell, experiment)
    options = replace(options, encoder=choose_encoder(options.encoder, texts))
    settings = settle(options, sentences=len(texts), spaces=has_spaces(texts))
    settings = replace(settings, max_tokens=experiment.max_tokens)
    torch.set_num_threads(threads_for(settings))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        loaded = load_encoder(texts, settings)
        tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=loaded.max_tokens)

        def build(documents: Sequence[Document]) -> Examples:
            return build_examples(
                documents, data.schema, tokenizer, max_span_tokens=loaded.max_tokens
            )

        training = TrainingSet(
            build(original).items,
            build(distilled).items,
            replacement=0.0,
            build=build,
            course=course_of(settings),
        )
        tagger, run = train_tagger(
            loaded,
            training,
            build(data.dev).items,
            data.schema,
            settings,
            pad_id=tokenizer.pad_id,
        )
        found = tag(tagger, build(data.test).items, data.schema, pad_id=tokenizer.pad_id)
    outcome = Outcome(run.epoch, run.dev_f1, time.monotonic() - started)
    return result_of(outcome, data.test, found, relations=False)
