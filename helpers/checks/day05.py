"""Hidden checks of day 05: stencils for a share, the turn of two columns, pseudo-inverse, rank k for given data."""

import math

import numpy as np


def rank_for(fn):
    rng = np.random.default_rng(0)
    s = np.array([4.0, 2.0, 2.0, 1.0])  # squares 16, 4, 4, 1 of 25
    for share, want in ((0.0, 0), (0.5, 1), (16 / 25, 1), (0.65, 2), (0.8, 2), (0.81, 3), (0.97, 4), (1.0, 4)):
        got = fn(s, share)
        assert got != _by_size(s, share) or got == want, (
            f"squares 16, 4, 4, 1, share {share:.2f}: {want} values hold it, you say {got}; energy means squares"
        )
        assert got == want, f"squares 16, 4, 4, 1 of 25, share {share:.2f}: {want} values hold it, you say {got}"
    zeros = fn(np.zeros(3), 0.9)
    assert zeros == 0, f"all values are zero: nothing is needed, return 0, got {zeros}"
    trailing = fn(np.array([3.0, 1.0, 0.0, 0.0]), 1.0)
    assert trailing == 2, f"values 3, 1, 0, 0, share 1: two hold everything, you say {trailing}"
    for _ in range(50):
        s = np.sort(rng.random(int(rng.integers(1, 30))))[::-1]
        got = fn(s, 1.0)
        assert got == len(s), f"{len(s)} nonzero values, share 1: all are needed, you say {got}; does rounding decide?"
        share = float(rng.uniform(0.05, 0.95))
        squares = s**2
        want = next(k for k in range(len(s) + 1) if squares[:k].sum() >= share * squares.sum())
        assert fn(s, share) == want, f"values {s[:4].round(2)} …, share {share:.2f}: {want}, you say {fn(s, share)}"
    return "a table on paper, exact shares, zeros, and a hundred random spectra"


def perpendicular(fn):
    rng = np.random.default_rng(1)
    pairs = [rng.standard_normal((2, n)) for n in (2, 3, 10)]
    pairs += [np.array([[3.0, 4.0], [0.0, 5.0]]), np.array([[1.0, 0.0], [1.0, 1e-3]])]
    pairs += [np.array([[1e8, 1.0], [1.0, 0.0]]), np.array([[1e-8, 0.0], [1.0, 1.0]]), np.array([[1.0, 2], [-1, -2]])]
    pairs += [1e-12 * np.array([[3.0, 4.0], [0.0, 5.0]])]
    for p, q in pairs:
        given = p.copy(), q.copy()
        out = fn(p, q)
        assert np.array_equal(p, given[0]) and np.array_equal(q, given[1]), "the columns were changed: return c and s"
        assert isinstance(out, tuple) and len(out) == 2, "return two numbers: cosine and sine"
        c, s = map(float, out)
        assert math.isfinite(c) and math.isfinite(s), f"columns {p} and {q}: not a number came out"
        assert abs(c * c + s * s - 1) < 1e-12, f"c² + s² should be 1, is {c * c + s * s:.6f}"
        new = c * p - s * q, s * p + c * q
        size = math.sqrt(max(p @ p, q @ q) * max(min(p @ p, q @ q), 1e-300))
        left = abs(new[0] @ new[1]) / size
        flipped = abs((c * p + s * q) @ (c * q - s * p)) / size
        assert left < 1e-7 or flipped > 1e-7, "it turns the wrong way: c p - s q and s p + c q are the new columns"
        hint = "; equally long columns turn by 45°" if abs(p @ p - q @ q) < 1e-12 * (p @ p) else ""
        if (c, s) == (1, 0):
            hint = "; you did not turn: a small product is no right angle where the columns are small"
        assert left < 1e-7, f"columns {p[:3]} and {q[:3]}: after the turn their product is {left:.1e}, not 0{hint}"
        assert c > 0 and abs(s) <= c + 1e-12, (
            f"c = {c:.3f}, s = {s:.3f}: they are perpendicular, but by the larger angle; take the smaller root t"
        )
    right = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    for p, q in (right, right[::-1], (np.zeros(3), np.ones(3)), (np.zeros(2), np.zeros(2))):
        out = tuple(map(float, fn(p, q)))
        assert out == (1.0, 0.0), f"columns {p} and {q} are perpendicular already: return (1, 0), got {out}"
    return "random, nearly parallel, parallel, equally long, tiny and huge columns; perpendicular and zero ones"


def pseudo(fn):
    rng = np.random.default_rng(2)
    for m, n, k in ((3, 3, 3), (5, 3, 3), (3, 5, 3), (6, 4, 2), (4, 6, 1), (1, 1, 1)):
        a = rng.standard_normal((m, k)) @ rng.standard_normal((k, n))
        for scale in (1.0, 1e-12, 1e9):
            got = np.asarray(fn(a * scale, 1e-10))
            assert got.shape == (n, m), f"a has shape {(m, n)}, its pseudo-inverse {(n, m)}; got {got.shape}"
            assert np.isfinite(got).all(), "not a number came out: is a zero inverted?"
            want = np.linalg.pinv(a * scale, rcond=1e-10)
            here = f"shape {(m, n)}, rank {k}, scale {scale:.0e}: "
            size = np.abs(want).max()
            assert np.abs(got).max() < 1e3 * size, here + "a value that is only rounding was inverted: use the cut"
            assert np.abs(got).max() > 1e-3 * size, here + "everything was cut: compare with the LARGEST value"
            assert np.allclose(got, want, atol=1e-6 * size), here + "the wrong matrix: which factor is transposed?"
    d = np.asarray(fn(np.diag([10.0, 1.0, 0.05]), 0.01))
    assert d[2, 2] == 0 and abs(d[1, 1] - 1) < 1e-12, (
        "values 10, 1, 0.05 and cut 0.01: 0.05 is below 0.01 of the largest and counts as zero, 1 does not"
    )
    d = np.asarray(fn(np.diag([10.0, 8.0, 0.11]), 0.01))
    assert abs(d[2, 2] - 1 / 0.11) < 1e-9, (
        "values 10, 8, 0.11 and cut 0.01: 0.11 is above 0.01 of the LARGEST and is inverted; no sum or norm of all"
    )
    zero = np.asarray(fn(np.zeros((2, 3)), 1e-10))
    assert zero.shape == (3, 2) and not zero.any(), "the zero matrix has the pseudo-inverse zero, of the turned shape"
    return "six shapes and ranks at three scales, a cut between values, and zero"


def best_for(fn):
    rng = np.random.default_rng(3)
    for out, inn, tokens, k in ((6, 5, 40, 2), (4, 8, 100, 1), (8, 4, 30, 3), (5, 5, 5, 5), (6, 6, 2, 3)):
        w = rng.standard_normal((out, inn))
        x = rng.standard_normal((inn, tokens)) * np.logspace(0, -2, inn)[rng.permutation(inn), None]
        given = w.copy(), x.copy()
        pair = fn(w, x, k)
        assert np.array_equal(w, given[0]) and np.array_equal(x, given[1]), "w or x was changed: work on copies"
        assert isinstance(pair, tuple) and len(pair) == 2, "return two factors, left and right"
        left, right = map(np.asarray, pair)
        assert left.shape == (out, k) and right.shape == (k, inn), (
            f"{tokens} tokens, k = {k}: left should be {(out, k)} and right {(k, inn)}, "
            f"got {left.shape} and {right.shape}" + ("; fewer tokens than k: fill up with zeros" if tokens < k else "")
        )
        got = np.linalg.norm(w @ x - left @ (right @ x))
        s = np.linalg.svd(w @ x, compute_uv=False)
        least = np.linalg.norm(s[k:])
        plain = np.linalg.svd(w)
        naive = plain[0][:, :k] * plain[1][:k] @ plain[2][:k]
        floor = 1e-9 * np.linalg.norm(w @ x)
        same = np.allclose(left @ right, naive)
        assert got <= least * (1 + 1e-9) + floor or not same, (
            f"this is the best approximation of w: on the data it errs {got:.3g}, {least:.3g} is possible"
        )
        assert got <= least * (1 + 1e-9) + floor, (
            f"rank {k}: the outputs err {got:.3g}, {least:.3g} is possible; of which matrix do you take the SVD?"
        )
    return "five shapes, inputs of very different sizes, fewer tokens than k"


def _by_size(s, share):
    total = np.r_[0.0, np.asarray(s).cumsum()]
    return int(np.argmax(total >= share * total[-1]))


def _one_more(s, share):
    squares = np.asarray(s) ** 2
    return int((squares.cumsum() <= share * squares.sum()).sum()) + 1


def _divided(s, share):
    squares = np.asarray(s) ** 2
    with np.errstate(all="ignore"):
        part = squares / squares.sum()
    k, done = 0, 0.0
    while done < share and k < len(s):
        done += part[k]
        k += 1
    return k if math.isfinite(done) else len(s)


def _turns(kind):
    def fn(p, q):
        gamma = p @ q
        if kind == "absolute" and abs(gamma) < 1e-9:
            return 1.0, 0.0
        if gamma == 0 and kind != "sign":
            return 1.0, 0.0
        if kind == "sign" and (gamma == 0 or not p.any() or not q.any()):
            return 1.0, 0.0
        zeta = (q @ q - p @ p) / (2 * gamma)
        if kind == "larger":
            t = -math.copysign(1, zeta) * (abs(zeta) + math.hypot(1, zeta))
        elif kind == "sign":
            t = float(np.sign(zeta)) / (abs(zeta) + math.hypot(1, zeta))
        else:
            t = math.copysign(1, zeta) / (abs(zeta) + math.hypot(1, zeta))
        c = 1 / math.hypot(1, t)
        s = c * t
        if kind == "larger":
            return abs(c), s if c > 0 else -s
        return (c, -s) if kind == "backwards" else (c, s)

    return fn


def _pseudos(kind):
    def fn(a, cut):
        p, s, q = np.linalg.svd(a, full_matrices=False)
        if kind == "all":
            with np.errstate(all="ignore"):
                return q.T / s @ p.T
        if kind in ("absolute", "norm"):
            keep = s > cut * (1 if kind == "absolute" else np.linalg.norm(s))
            return q[keep].T / s[keep] @ p[:, keep].T
        keep = s > cut * s.max(initial=0)
        return (p[:, keep] / s[keep]) @ q[keep]

    return fn


def _bests(kind):
    def fn(w, x, k):
        if kind == "weights":
            p, s, q = np.linalg.svd(w, full_matrices=False)
            left, right = p[:, :k] * s[:k], q[:k]
        elif kind == "inputs":
            p = np.linalg.svd(x, full_matrices=False)[0][:, :k]
            left, right = w @ p, p.T
        else:
            p, s, q = np.linalg.svd(w @ x, full_matrices=False)
            left, right = p[:, :k] * s[:k], q[:k]
        if kind == "fewer":
            left = np.linalg.svd(w @ x, full_matrices=False)[0][:, :k]
            right = left.T @ w
        return left, right

    return fn


WRONG = {
    "rank_for": {
        "adds values, not squares": _by_size,
        "one too many at an exact share": _one_more,
        "adds shares one by one and lets rounding decide": _divided,
    },
    "perpendicular": {
        "takes the larger root": _turns("larger"),
        "takes sign instead of copysign": _turns("sign"),
        "turns the wrong way": _turns("backwards"),
        "takes small columns for perpendicular ones": _turns("absolute"),
    },
    "pseudo": {
        "inverts everything": _pseudos("all"),
        "cuts at an absolute size": _pseudos("absolute"),
        "cuts relative to the norm of all values": _pseudos("norm"),
        "forgets to transpose": _pseudos("forget"),
    },
    "best_for": {
        "truncates the weights": _bests("weights"),
        "takes the SVD of the inputs": _bests("inputs"),
        "returns factors of the product": _bests("outputs"),
        "forgets that there may be fewer tokens than k": _bests("fewer"),
    },
}
