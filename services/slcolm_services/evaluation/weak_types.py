"""K: the relation types on which the SLM is weakest on dev.

The paper's code holds a fixed list taken from the test set. Here K is chosen on dev alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from slcolm_services.evaluation.policy import WEAK_TYPE_COUNT
from slcolm_services.scoring.counts import CountMatrix


def weak_types(
    slm: CountMatrix, training_counts: Mapping[str, int], count: int = WEAK_TYPE_COUNT
) -> frozenset[str]:
    """The types with the lowest F1.

    Ties go to the type with fewer training instances, then by name. A type without gold has F1 0.

    Args:
        slm: Counts of the SLM's predictions on dev.
        training_counts: Training instances by relation type.
        count: Size of the result, or all types if there are fewer.
    """
    f1 = {name: counts.prf().f1 for name, counts in slm.by_type().items()}
    ranked = sorted(f1, key=lambda name: (f1[name], training_counts.get(name, 0), name))
    return frozenset(ranked[:count])
