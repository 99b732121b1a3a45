"""The belief about the label of one object, given all of its frames so far, as a recursion from frame to frame.

It is the forward recursion of a hidden Markov model (Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 77,
1989, section III.A) whose hidden state is the label. From one frame to the next the object is replaced by a new one of
any label with a small probability s. That is two things in one. The belief is forgotten exponentially, and it has a
bound: no label is ever less probable than s / C before a frame is seen. So a few frames that contradict it in a row
change the label, as in a cumulative sum test for a change (Page, "Continuous inspection schemes", Biometrika 41, 1954)
that compares the log-likelihood ratio of new and old label with the threshold log(1 + C (1 - s) / s).

Each frame is an outlier, whose prediction means nothing, with probability e. That bounds the log-likelihood ratio of
one frame by log(1 + C (1 - e) / e), which does not reach the threshold for e >= 1.5 s.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.temporal.settings import Smoothing
from allweather.runtimes.types import Floats

Belief: TypeAlias = npt.NDArray[np.float64]
"""The probability of each label, [C]; sums to 1."""


def first_belief(probabilities: Floats, settings: Smoothing) -> Belief:
    """Returns the belief after the first frame of an object, before which all labels were equally probable.

    Args:
        probabilities: float [C], what the classifier gives for the frame. A class with nan or a negative value counts
            as 0; if all are 0, they count as equal.
        settings: How frames are combined.
    """
    return updated_belief(np.full(len(probabilities), 1 / len(probabilities)), probabilities, settings)


def predicted_belief(belief: Belief, gap: int, settings: Smoothing) -> Belief:
    """Returns the belief some frames later, without any evidence from them.

    Args:
        belief: The belief after an earlier frame.
        gap: Number of frames since then, at least 1; more than 1 where frames were dropped.
        settings: How frames are combined.
    """
    same = (1 - 1 / settings.object_frames) ** gap  # probability that it is still the same object
    return same * belief + (1 - same) / len(belief)


def updated_belief(predicted: Belief, probabilities: Floats, settings: Smoothing) -> Belief:
    """Returns the belief after a frame.

    Args:
        predicted: The belief before the frame, from `predicted_belief`; all above 0.
        probabilities: float [C], what the classifier gives for the frame; see `first_belief`; equal ones say nothing.
        settings: How frames are combined.
    """
    rate = settings.outlier_rate
    values = np.asarray(probabilities, np.float64)
    values = np.where(values > 0, np.minimum(values, 1.0), 0.0)  # nan is not above 0
    total = values.sum()
    likelihood = (1 - rate) * (values / total if total > 0 else 1 / len(values)) + rate / len(values)
    posterior: Belief = predicted * likelihood  # both are far above the smallest float
    posterior /= posterior.sum()
    return posterior
