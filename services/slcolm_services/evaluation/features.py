"""Features of a candidate triple, by name: what the confidence of a policy is a weighted sum of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from slcolm_services.evaluation.calibration import Calibration, logit
from slcolm_services.evaluation.candidates import Candidates
from slcolm_services.evaluation.evidence import voter
from slcolm_services.scoring.counts import FloatArray

FEATURES = (
    "slm",
    "slm_logit",
    "llm_share",
    "agreement",
    "log_count",
    "log_count_slm",
    "log_count_llm",
    "mention_logit",
    "admitted",
    "not_admitted",
    "slm_rival",
    "llm_rival",
    "slm_reversed",
    "slm_type",
    "log_size",
)
"""Names of the features that every candidate has."""

VOTE = "vote:"
"""`vote:NAME`: the vote of one of several voters."""


def feature_names(sources: Sequence[str]) -> tuple[str, ...]:
    """The features to fit on. Of one voter alone the share says it all, and there are no votes."""
    voters = list(dict.fromkeys(voter(source) for source in sources))
    votes = [f"{VOTE}{name}" for name in voters] if len(voters) > 1 else []
    return (*FEATURES, *votes)


def is_feature(name: str) -> bool:
    """Whether there is such a feature."""
    return name in FEATURES or name.startswith(VOTE)


def features(
    candidates: Candidates,
    calibration: Calibration,
    training_counts: Mapping[str, int],
    names: Sequence[str],
) -> FloatArray:
    """The features of candidates.

    Args:
        candidates: The triples.
        calibration: Of the SLM's probabilities.
        training_counts: Training instances by relation type; a type not named has none.
        names: Which features.

    Returns:
        Shape (candidates, names). NaN where the SLM holds a triple and gave no probability.
    """
    columns = _columns(candidates, calibration, training_counts)
    values = np.zeros((len(candidates.triples), len(names)))
    for index, name in enumerate(names):
        if name.startswith(VOTE):
            values[:, index] = candidates.votes.get(name.removeprefix(VOTE), 0.0)
        else:
            values[:, index] = columns[name]
    return values


def _columns(
    candidates: Candidates, calibration: Calibration, training_counts: Mapping[str, int]
) -> dict[str, FloatArray]:
    slm, share = candidates.slm.astype(np.float64), candidates.share
    count = np.log1p([training_counts.get(triple.type, 0) for triple in candidates.triples])
    odds = logit(calibration.apply(candidates.slm_probability))
    return {
        "slm": slm,
        "slm_logit": np.where(candidates.slm, odds, 0.0),
        "llm_share": share,
        "agreement": slm * share,
        "log_count": count,
        "log_count_slm": count * slm,
        "log_count_llm": count * share,
        "mention_logit": np.nan_to_num(logit(candidates.mention_probability)),
        "admitted": (candidates.admitted > 0).astype(np.float64),
        "not_admitted": (candidates.admitted < 0).astype(np.float64),
        "slm_rival": candidates.slm_rival,
        "llm_rival": candidates.llm_rival,
        "slm_reversed": candidates.slm_reversed.astype(np.float64),
        "slm_type": candidates.slm_type.astype(np.float64),
        "log_size": np.log(candidates.size),
    }
