"""Whether a probability of 0.7 means that seven of ten are fractured: reliability bins and their mean error."""

from dataclasses import dataclass, field

import numpy as np

BINS = 15  # equal in width, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


@dataclass
class Reliability:
    """Probabilities and what turned out to be true, counted in bins of probability. Grows case by case."""

    count: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    predicted: np.ndarray = field(default_factory=lambda: np.zeros(BINS))  # sum of the probabilities
    true: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, probability: np.ndarray, truth: np.ndarray) -> None:
        """Counts more of them: probabilities from 0 to 1 and bool truths, both (N,)."""
        bins = np.minimum((np.asarray(probability) * BINS).astype(int), BINS - 1)
        self.count += np.bincount(bins, minlength=BINS)
        self.predicted += np.bincount(bins, np.asarray(probability, float), minlength=BINS)
        self.true += np.bincount(bins[np.asarray(truth, bool)], minlength=BINS)

    def merge(self, other: "Reliability") -> None:
        """Counts what another has counted, too."""
        self.count += other.count
        self.predicted += other.predicted
        self.true += other.true

    @property
    def error(self) -> float:
        """ECE, the expected calibration error: mean of |share that is true - mean probability|, nan without entries.

        >>> certain = Reliability()
        >>> certain.add(np.ones(4), np.array([True, True, True, False]))
        >>> certain.error
        0.25
        """
        total = self.count.sum()
        return float(np.abs(self.true - self.predicted).sum() / total) if total else float("nan")

    def rows(self) -> list[dict]:
        """One row per bin that is not empty: count, mean probability, share that is true."""
        return [
            {
                "count": int(self.count[k]),
                "probability": round(float(self.predicted[k] / self.count[k]), 4),
                "true_share": round(float(self.true[k] / self.count[k]), 4),
            }
            for k in np.flatnonzero(self.count)
        ]
