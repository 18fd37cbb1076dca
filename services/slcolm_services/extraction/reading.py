"""A call's texts on their way: read into tokens and windows, run, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slcolm_services.corpus.documents import Document
from slcolm_services.errors import SlcolmError
from slcolm_services.extraction.engine import Engine, Extraction, Sentence
from slcolm_services.extraction.long_texts import Joiner
from slcolm_services.extraction.scheduler import Output, Scheduler


@dataclass(frozen=True)
class Reading:
    """The texts of a call as the model reads them.

    Attributes:
        documents: The texts.
        sentences: What passes the model: texts and windows of texts, in the order of `documents`;
            `index` is the text's place.
        failures: Errors of texts that cannot be read, by place.
        overlapping_entities: Whether two entities of a text may share tokens.
    """

    documents: Sequence[Document]
    sentences: Sequence[Sentence]
    failures: dict[int, SlcolmError]
    overlapping_entities: bool = True

    @classmethod
    def of(cls, engine: Engine, documents: Sequence[Document]) -> Reading:
        """Tokenize texts, and split those that are longer than the model's window.

        Args:
            engine: The model that will read them.
            documents: `id` and `text` are read.
        """
        sentences: list[Sentence] = []
        failures = {}
        for index, document in enumerate(documents):
            try:
                sentences += engine.sentences(index, document)
            except SlcolmError as error:
                failures[index] = error
        return cls(documents, sentences, failures, engine.manifest.overlapping_entities)

    def run(self, engine: Engine, on_done: Callable[[int], None] = lambda _: None) -> list[Output]:
        """Answers in the order of `documents`, by a scheduler of their own: not for a service.

        Args:
            engine: The model that the texts were read for.
            on_done: Told on another thread how many of `sentences` a batch had.
        """
        resources = engine.resources
        with Scheduler(workers=resources.slots, batch_tokens=resources.batch_tokens) as scheduler:
            outputs = scheduler.submit(engine, self.sentences, on_done=on_done).result()
        return self.joined(outputs)

    def joined(self, outputs: Sequence[Output]) -> list[Output]:
        """Answers in the order of `documents`, given the output of each of `sentences`.

        A long text of which a window failed fails with that error.
        """
        answers: dict[int, Output] = dict(self.failures)
        start = 0
        while start < len(self.sentences):
            index = self.sentences[start].index
            end = start + 1
            while end < len(self.sentences) and self.sentences[end].index == index:
                end += 1
            answers[index] = self._answer(self.sentences[start:end], outputs[start:end])
            start = end
        return [answers[index] for index in range(len(self.documents))]

    def _answer(self, sentences: Sequence[Sentence], outputs: Sequence[Output]) -> Output:
        """What is in a text, given what is in its windows."""
        parts = []
        for output in outputs:
            if isinstance(output, SlcolmError):
                return output
            parts.append(output)
        windows = tuple(one.window for one in sentences if one.window is not None)
        if not windows:
            return parts[0]
        joiner = Joiner(windows, overlapping_entities=self.overlapping_entities)
        document = joiner.join([part.document for part in parts])
        return Extraction(
            document=document,
            vector=joiner.vector([part.vector for part in parts]),
            windows=windows,
            # What is beyond the bound in two windows counts twice: the truth is no larger.
            unseen_pairs=joiner.unseen_pairs(document.entities)
            + sum(part.unseen_pairs for part in parts),
        )
