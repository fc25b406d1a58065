"""Two ways to smooth a noisy curve: a running mean, and means of blocks."""

import numpy as np


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values at each step; at the beginning, of the fewer there are: (n,) -> (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    end = np.arange(1, len(values) + 1)
    first = np.maximum(0, end - window)
    return (sums[end] - sums[first]) / (end - first)


def block_means(values: np.ndarray, length: int) -> np.ndarray:
    """Means of consecutive blocks of `length` values: (n,) -> (n // length,).

    Values that are not finite are left out. A block without a finite value has the mean NaN.
    """
    blocks = np.reshape(values[: len(values) // length * length], (-1, length))
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
