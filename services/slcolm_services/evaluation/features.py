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
    "admitted",
    "not_admitted",
    "slm_rival",
    "llm_rival",
    "slm_reversed",
    "llm_reversed",
    "log_size",
    "slm_type",
)
"""Names of the features that every sentence has; `vote:NAME` stands beside them for each voter."""

VOTE = "vote:"


def vote_features(sources: Sequence[str]) -> tuple[str, ...]:
    """Names of the votes: of one voter alone the share says it all, and there are none."""
    voters = list(dict.fromkeys(voter(source) for source in sources))
    return tuple(f"{VOTE}{name}" for name in voters) if len(voters) > 1 else ()


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
    slm, share = candidates.slm.astype(np.float64), candidates.share
    count = np.log1p([training_counts.get(triple.type, 0) for triple in candidates.triples])
    odds = logit(calibration.apply(candidates.slm_probability))
    columns = {
        "slm": slm,
        "slm_logit": np.where(candidates.slm, odds, 0.0),
        "llm_share": share,
        "agreement": slm * share,
        "log_count": count,
        "log_count_slm": count * slm,
        "log_count_llm": count * share,
        "admitted": (candidates.admitted > 0).astype(np.float64),
        "not_admitted": (candidates.admitted < 0).astype(np.float64),
        "slm_rival": candidates.slm_rival,
        "llm_rival": candidates.llm_rival,
        "slm_reversed": candidates.slm_reversed,
        "llm_reversed": candidates.llm_reversed,
        "log_size": np.log(candidates.size),
        "slm_type": candidates.slm_type.astype(np.float64),
    }
    nothing = np.zeros(len(candidates.triples))
    return (
        np.stack(
            [
                candidates.votes.get(name.removeprefix(VOTE), nothing)
                if name.startswith(VOTE)
                else columns[name]
                for name in names
            ],
            axis=1,
        )
        if names
        else np.zeros((len(candidates.triples), 0))
    )
