"""What asking about a part of the sentences buys: F1 against how many were asked about.

A sentence that is not asked about keeps the SLM's triples. So the counts of a part are those of the
SLM plus, for every sentence asked about, what its answer changes, and the figures of every part
along an order come from one cumulative sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.stats import frequency_bucket
from slcolm_services.evaluation.evidence import Evidence
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import Policy
from slcolm_services.scoring.bootstrap import Figure, macro_f1_pr, micro_f1
from slcolm_services.scoring.counts import CORRECT, GOLD, PREDICTED, CountMatrix, FloatArray
from slcolm_services.scoring.strict import Sentence, count_strict

_BAND = (0.05, 0.95)
"""Quantiles of the random orders that are told beside their mean."""


@dataclass(frozen=True, eq=False)
class Purchase:
    """What each sentence has to give, by the strict protocol.

    Attributes:
        unasked: Counts of the sentences without their answers, over the types with gold > 0.
        change: What asking changes in them, shape (sentences, types, 3).
        tail: Which of the types are rare in training, shape (types,).
    """

    unasked: CountMatrix
    change: FloatArray
    tail: npt.NDArray[np.bool_]

    def figures(self) -> dict[str, Figure]:
        """Figures by name: `micro` and `macro` F1, and `tail`, the micro F1 of rare types."""
        return {
            "micro": micro_f1,
            "macro": macro_f1_pr,
            "tail": lambda totals: micro_f1(totals[..., self.tail, :]),
        }

    def along(self, order: Sequence[int]) -> dict[str, FloatArray]:
        """Figures after 0, 1, 2, ... sentences in an order, each of shape (sentences + 1,)."""
        totals = np.zeros((len(order) + 1, *self.change.shape[1:]))
        np.cumsum(self.change[np.asarray(order, dtype=np.int64)], axis=0, out=totals[1:])
        totals += self.unasked.totals()
        return {name: figure(totals) for name, figure in self.figures().items()}

    def at_random(self, orders: int, seed: int) -> dict[str, FloatArray]:
        """Mean, low and high of random orders, by figure, each of shape (3, sentences + 1)."""
        generator = np.random.default_rng(seed)
        drawn = [
            self.along(generator.permutation(len(self.change)).tolist()) for _ in range(orders)
        ]
        found = {}
        for name in self.figures():
            values = np.stack([one[name] for one in drawn])
            low, high = np.quantile(values, _BAND, axis=0)
            found[name] = np.stack([values.mean(axis=0), low, high])
        return found

    def upper_bound(self) -> dict[str, FloatArray]:
        """The best `micro` and `tail` of any 0, 1, 2, ... sentences, shape (sentences + 1,).

        It is chosen with the gold in sight, so no order can be better. Exact: F1 is a ratio of two
        sums, which the method of Dinkelbach (1967, "On nonlinear fractional programming") maximises
        over the sets of a size. Macro F1 is no such ratio and has no bound here.
        """
        every = np.ones(len(self.tail), dtype=np.bool_)
        return {"micro": self._best(every), "tail": self._best(self.tail)}

    def _best(self, types: npt.NDArray[np.bool_]) -> FloatArray:
        base = self.unasked.totals()[types].sum(axis=0).astype(np.float64)
        change = self.change[:, types].sum(axis=1)
        return np.array([_best_ratio(base, change, size) for size in range(len(change) + 1)])


def _best_ratio(base: FloatArray, change: FloatArray, size: int) -> float:
    """Highest F1 of `base` with `size` rows of `change`; each row has an axis of counts."""
    ratio = -1.0
    best = 0.0
    while best > ratio:
        ratio = best
        worth = 2 * change[:, CORRECT] - ratio * change[:, PREDICTED]
        chosen = change[np.argsort(-worth, kind="stable")[:size]].sum(axis=0) + base
        below = chosen[PREDICTED] + chosen[GOLD]
        best = float(2 * chosen[CORRECT] / below) if below else 0.0
    return max(best, ratio)


def purchase(
    gold: Mapping[str, tuple[Triple, ...]],
    evidence: Sequence[Evidence],
    policy: Policy,
    schema: TaskSchema,
) -> Purchase:
    """Count what each answer changes.

    Args:
        gold: True triples by sentence, in order.
        evidence: What SLM and LLMs said of each, in the same order.
        policy: How they are merged.
        schema: Names the relation types.
    """
    true = [Sentence(name, triples) for name, triples in gold.items()]

    def count(known: Sequence[Evidence]) -> CountMatrix:
        predicted = [
            Sentence(name, tuple(item.triple for item in merge(one, policy, schema)))
            for name, one in zip(gold, known, strict=True)
        ]
        return count_strict(true, predicted, schema).matrix.with_gold()

    unasked = count([Evidence(one.slm, {}, one.mentions) for one in evidence])
    tail = [
        frequency_bucket(policy.training_counts.get(name, 0)) == "tail" for name in unasked.types
    ]
    change = count(evidence).values - unasked.values
    return Purchase(unasked, change.astype(np.float64), np.array(tail, dtype=np.bool_))
