"""Built in day 19, Performance: ``runner taught`` copies it from day19_performance.ipynb."""

import numpy as np
from numba import njit


@njit(fastmath={"reassoc", "contract"})
def first_of_each(vectors, limit):
    """Which rows to keep: none nearer than limit to a kept earlier one.

    vectors (n, d) float32, C order; limit: squared. Returns (n,) bool.
    """
    keep = np.ones(len(vectors), np.bool_)
    for i in range(len(vectors)):
        for j in range(i):
            if keep[j]:
                total = np.float32(0)
                for t in range(vectors.shape[1]):
                    gap = vectors[i, t] - vectors[j, t]
                    total += gap * gap
                if total < limit:
                    keep[i] = False
                    break
    return keep


@njit
def smallest(products, norms, k):
    """The k smallest norms[j] - 2 products[i, j]: columns, values."""
    n, m = products.shape
    index = np.zeros((n, k), np.int64)
    value = np.full((n, k), np.inf, np.float32)
    for i in range(n):
        best, where = value[i], index[i]
        for j in range(m):
            v = norms[j] - 2 * products[i, j]
            if v < best[k - 1]:
                p = k - 1
                while p > 0 and best[p - 1] > v:
                    best[p], where[p] = best[p - 1], where[p - 1]
                    p -= 1
                best[p], where[p] = v, j
    return index, value


@njit
def exact(x, y, index):
    """Squared distances, float64, of row i of x to y[index[i]]."""
    out = np.zeros(index.shape)
    for i in range(index.shape[0]):
        for c in range(index.shape[1]):
            row = y[index[i, c]]
            for t in range(x.shape[1]):
                gap = np.float64(x[i, t]) - np.float64(row[t])
                out[i, c] += gap * gap
    return out


def in_order(index, squared, k):
    """The k nearest candidates, near first; equal ones by number."""
    first = np.lexsort((index, squared))[:, :k]
    return (np.take_along_axis(index, first, 1),
            np.take_along_axis(squared, first, 1))


def centred(x, y):
    """x and y less the mean of y as float32, and their squared norms."""
    middle = y.mean(0)
    moved = [np.ascontiguousarray(a - middle, np.float32) for a in (x, y)]
    norms = [np.einsum("ij,ij->i", a, a, dtype=np.float64) for a in moved]
    if not np.isfinite(norms[0].sum() + norms[1].sum()):
        raise ValueError("NaN, infinite or huge numbers have no neighbours")
    return *moved, *norms


def by_force(x, y, k):
    """The same answer without a product: one row of x against all."""
    every = np.arange(len(y))[None]
    return in_order(every, exact(x, y, every), k)


def nearest(x, y, k, block=256, spare=8, tally=None):
    """For each row of x the k nearest rows of y: index, squared distance.

    x (n, d), y (m, d); tally, a dict, counts rows that were searched again.
    """
    if not 1 <= k <= len(y):
        raise ValueError(f"k = {k}: there are {len(y)} rows to choose from")
    tally, few = {} if tally is None else tally, min(k + spare, len(y))
    xc, yc, near, far = centred(x, y)
    slack = (x.shape[1] + 8) * 2.0**-23 * (near**.5 + far.max()**.5)**2
    index, squared = np.zeros((len(x), k), int), np.zeros((len(x), k))
    for lo in range(0, len(x), block):
        at = slice(lo, lo + block)
        some, value = smallest(xc[at] @ yc.T, far.astype(np.float32), few)
        index[at], squared[at] = in_order(some, exact(x[at], y, some), k)
        sure = squared[at, -1] <= value[:, -1] + near[at] - slack[at]
        for i in lo + np.flatnonzero(~sure & (few < len(y))):
            tally["again"] = tally.get("again", 0) + 1
            index[i], squared[i] = by_force(x[i:i + 1], y, k)
    return index, squared
