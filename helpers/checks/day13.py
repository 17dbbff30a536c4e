"""Checks of day 13: division by Newton, the two loops of L-BFGS, a step that leaves saddles, truncated Newton–CG."""

import math

import numpy as np


class _Refused(Exception):
    """The number was asked for what the task forbids."""


class _Number:
    """A float that can be added, subtracted, multiplied and compared, and nothing else; it counts multiplications."""

    products = 0

    def __init__(self, x):
        self.x = x

    def _with(self, other, op):
        return _Number(op(self.x, other.x if isinstance(other, _Number) else other))

    def __add__(self, o):
        return self._with(o, lambda a, b: a + b)

    def __sub__(self, o):
        return self._with(o, lambda a, b: a - b)

    def __rsub__(self, o):
        return self._with(o, lambda a, b: b - a)

    def __mul__(self, o):
        _Number.products += 1
        return self._with(o, lambda a, b: a * b)

    def __neg__(self):
        return _Number(-self.x)

    def __truediv__(self, o):
        raise _Refused("no division is allowed: the step is 2x - a x², a sum of products")

    __radd__, __rmul__, __rtruediv__, __pow__, __rpow__ = __add__, __mul__, __truediv__, __truediv__, __truediv__

    def __float__(self):
        raise _Refused("call math.frexp(a) and math.ldexp(x, k) by these names, after import math")

    def __lt__(self, o):
        return self.x < (o.x if isinstance(o, _Number) else o)

    def __gt__(self, o):
        return self.x > (o.x if isinstance(o, _Number) else o)

    def __le__(self, o):
        return not self > o

    def __ge__(self, o):
        return not self < o


def reciprocal(fn):
    real = math.frexp, math.ldexp

    def frexp(a):
        f, e = real[0](a.x if isinstance(a, _Number) else a)
        return _Number(f), e

    def ldexp(x, k):
        return _Number(real[1](x.x if isinstance(x, _Number) else x, k))

    rng = np.random.default_rng(0)
    cases = [0.5, 1 - 2**-53, 1.0, 0.75, 2 / 3, 3.0, 7e-300, 1e300, *(10 ** rng.uniform(-200, 200, 60))]
    math.frexp, math.ldexp = frexp, ldexp
    try:
        for a in map(float, cases):
            _Number.products = 0
            try:
                got = fn(_Number(a))
            except _Refused as refused:
                raise AssertionError(str(refused)) from None
            assert isinstance(got, _Number), "compute with a itself: its fraction and exponent come from math.frexp"
            off = abs(got.x * a - 1)
            hint = "how many squarings does the first error need, in the worst fraction?"
            if off > 1e-2:
                hint = "is the start inside 0 < x < 2/a? Outside, the error is squared upwards"
            assert off < 1e-15, f"1/{a:.6g}: relative error {off:.1g}; {hint}"
            assert _Number.products <= 12, (
                f"{_Number.products} multiplications: twelve are enough from a good start, two a step"
            )
    finally:
        math.frexp, math.ldexp = real
    return f"{len(cases)} numbers from 7e-300 to 1e300, without one division"


def quasi_newton(fn):
    rng = np.random.default_rng(1)
    for n, k in ((1, 0), (3, 0), (1, 1), (2, 1), (5, 3), (6, 9), (40, 4)):
        a = rng.normal(size=(n, n))
        a = a @ a.T + np.eye(n) * 0.3
        steps = [rng.normal(size=n) * 10 ** rng.uniform(-2, 2) for _ in range(k)]
        pairs = [(s, a @ s) for s in steps]
        g = rng.normal(size=n)
        kept = [(s.copy(), y.copy()) for s, y in pairs]
        given = g.copy()
        got = fn(given, list(pairs))
        assert np.array_equal(given, g), "g was changed in place: q = q - a * y makes a new array, q -= a * y does not"
        unchanged = all(
            np.array_equal(s, t) and np.array_equal(y, z) for (s, y), (t, z) in zip(pairs, kept, strict=True)
        )
        assert unchanged, "a vector of `pairs` was changed in place: the next step needs it as it was"
        want = _dense(g, pairs)
        assert np.shape(got) == (n,), f"return a direction of shape ({n},), got {np.shape(got)}"
        scale = abs(want).max()
        if abs(got - want).max() < 1e-6 * scale:
            continue
        said = f"n = {n}, {k} pairs: off by {abs(got - want).max() / scale:.1g} of the direction; "
        if abs(got + want).max() < 1e-6 * scale:
            raise AssertionError(said + "the sign: a direction points downhill")
        if k == 0:
            raise AssertionError(said + "without pairs it is steepest descent")
        for hint, wrong in _HINTS.items():
            if abs(got - wrong(g, pairs)).max() < 1e-6 * scale:
                raise AssertionError(said + hint)
        s, y = pairs[-1]
        if k == 1:
            raise AssertionError(said + "with one pair write the product out: V B V' g + ρ s s'g, and compare")
        secant = abs(-fn(y, list(pairs)) - s).max() / abs(s).max()
        raise AssertionError(
            said
            + (
                f"the newest pair must satisfy B y = s; yours misses by {secant:.1g}"
                if secant > 1e-6
                else "B y = s holds for the newest pair, so look at γ (of which pair?) and at the older pairs"
            )
        )
    n = 200_000
    pairs = [(np.ones(n), 2 * np.ones(n))]
    try:
        big = fn(np.ones(n), pairs)
    except MemoryError:
        raise AssertionError("200,000 unknowns: an n × n matrix does not fit; two loops over vectors do") from None
    assert np.allclose(big, -0.5), "200,000 unknowns, one pair with y = 2 s: the direction is -g/2"
    return "seven sets of pairs against the whole matrix, and 200,000 unknowns"


def saddle_free(fn):
    rng = np.random.default_rng(2)

    def turned(eig):
        q = np.linalg.qr(rng.normal(size=(len(eig), len(eig))))[0]
        return q * np.array(eig, dtype=float) @ q.T, q

    cases = [[2.0], [-3.0], [1, 5, 20], [4, -4], [5, -1e-3, 2], [-1, -2, -3], [3, 0, 0], [1e8, -1e8, 1]]
    for eig in cases:
        h, q = turned(eig)
        for _ in range(3):
            g = rng.normal(size=len(eig))
            kept = h.copy()
            got = np.asarray(fn(g.copy(), h.copy()))
            assert np.array_equal(h, kept) and got.shape == g.shape, "return a direction of the shape of g"
            assert np.isfinite(got).all(), f"eigenvalues {eig}: the step is not finite"
            assert g @ got < 0, (
                f"eigenvalues {eig}: the step goes uphill, or nowhere (g·p = {g @ got:.2g}); "
                "what does a negative eigenvalue do to -H⁻¹ g?"
            )
            sizes = np.maximum(np.abs(np.array(eig, dtype=float)), 1e-6 * np.abs(eig).max())
            want = -(q @ ((q.T @ g) / sizes))
            if np.allclose(got, want, rtol=1e-5, atol=1e-7 * abs(want).max()):
                continue
            if min(eig) > 0:
                raise AssertionError(f"eigenvalues {eig}: all positive, so it must be Newton's step -H⁻¹ g")
            part = (q.T @ got) / (q.T @ want)
            raise AssertionError(
                f"eigenvalues {eig}: downhill, but along the eigenvectors ×{np.round(part, 3).tolist()} of |H|⁻¹ g: "
                "change each eigenvalue by itself, by its size, floored at 1e-6 of the largest SIZE"
            )
    got = fn(np.array([3.0, -4.0]), np.zeros((2, 2)))
    assert np.allclose(got, [-3.0, 4.0]), "all eigenvalues zero: sizes of 1 make it -g"
    near = np.array([1e-3, 1.0])
    step = fn(np.array([-2.0, 2.0]) * near, np.diag([-2.0, 2.0]))
    assert step[0] > 0, "beside the saddle of y² - x² the step must lead away from it along x"
    return "eight spectra, each three times, and the zero matrix"


def truncated(fn):
    rng = np.random.default_rng(3)
    for eig in ([2.0], [1, 4, 9, 16, 25], [1, 1, 1, 7, 7, 7], [-3.0], [5, 3, -1], [-1, -2, -4], [6, 2, 1, -8]):
        n = len(eig)
        q = np.linalg.qr(rng.normal(size=(n, n)))[0]
        h = q * np.array(eig, dtype=float) @ q.T
        for tol, most in ((1e-9, 50), (0.3, 50), (1e-9, 2)):
            g = rng.normal(size=n)
            calls = []

            def hvp(v, h=h, calls=calls):
                assert np.shape(v) == (len(h),), "hvp takes one vector"
                calls.append(v.copy())
                return h @ v

            got = fn(hvp, g.copy(), tol, most)
            want, products = _steihaug(h, g, tol, most)
            said = f"eigenvalues {eig}, tol {tol}, most {most}: "
            assert np.shape(got) == (n,) and np.isfinite(got).all(), said + "return a finite direction"
            assert g @ got < 0, said + f"the answer is not downhill (g·p = {g @ got:.2g}); what if d·Hd ≤ 0?"
            assert len(calls) <= most, said + f"{len(calls)} products, at most {most} are allowed"
            if min(eig) > 0 and tol < 1e-6 and most > n:
                left = np.linalg.norm(h @ got + g) / np.linalg.norm(g)
                assert left < 1e-6, said + f"‖Hp + g‖ is still {left:.1g} ‖g‖"
                kinds = len(set(eig))
                assert len(calls) <= kinds + 1, (
                    said + f"{len(calls)} products where {kinds} different eigenvalues need {kinds}: "
                    "is each new direction r + (new·new)/(r·r) d?"
                )
            assert len(calls) == products, (
                said + f"{len(calls)} products, {products} are needed: one per step, and stop at "
                "‖Hp + g‖ ≤ tol ‖g‖ or at the first d with d·Hd ≤ 0"
            )
            assert np.allclose(got, want, rtol=1e-6, atol=1e-8 * abs(want).max()), (
                said + "downhill, but not the point asked for: what is returned when curvature is negative, "
                "what when the products run out?"
            )
    return "seven spectra, three tolerances, products counted"


def _dense(g, pairs, gamma=True):
    n = len(g)
    b = np.eye(n)
    if pairs and gamma:
        s, y = pairs[-1]
        b = b * (s @ y) / (y @ y)
    for s, y in pairs:
        v = np.eye(n) - np.outer(y, s) / (s @ y)
        b = v.T @ b @ v + np.outer(s, s) / (s @ y)
    return -b @ g


def _loops(g, pairs, order=1, gamma=True, rho="sy", back=-1):
    q, kept = g, []
    for s, y in pairs[::-order]:
        a = (s @ q) / ((s @ y) if rho == "sy" else (y @ y))
        q = q - a * y
        kept.append(a)
    if pairs and gamma:
        s, y = pairs[0 if gamma == "oldest" else -1]
        q = q * (s @ y) / (y @ y)
    for (s, y), a in zip(pairs[::order], kept[::back], strict=True):
        q = q + (a - (y @ q) / (s @ y)) * s
    return -q


_HINTS = {
    "the pairs are applied in the wrong order: the newest is the outermost factor": lambda g, p: _loops(g, p, order=-1),
    "in the middle stands γ I of the newest pair, not I": lambda g, p: _loops(g, p, gamma=False),
    "the second loop runs the other way: each pair needs its own a back": lambda g, p: _loops(g, p, back=1),
}


def _steihaug(h, g, tol, most, wrong=""):
    p, r, products = np.zeros_like(g), -g, 0
    d = r
    while products < most and np.linalg.norm(r) > tol * np.linalg.norm(g):
        hd = h @ d
        products += 1
        if d @ hd <= 0:
            return (p if p.any() else -g), products
        a = (r @ r) / (d @ hd)
        p, new = p + a * d, r - a * hd
        d, r = new + (new @ new) / (r @ r) * d, new
    return p, products


def _cg(hvp, g, tol, most, stop=True, old=False):
    p, r = np.zeros_like(g), -g
    d = r
    for _ in range(most):
        if np.linalg.norm(r) <= tol * np.linalg.norm(g):
            break
        hd = hvp(d)
        if stop and d @ hd <= 0:
            return p
        a = (r @ r) / (d @ hd)
        p, new = p + a * d, r - a * hd
        d, r = new + (0 if old else (new @ new) / (r @ r)) * d, new
    return p


def _whole(hvp, g, tol, most):
    h = np.array([hvp(e) for e in np.eye(len(g))])
    return -np.linalg.lstsq(h, g, rcond=None)[0]


def _power(a, start, steps, plain=False):
    f, e = math.frexp(a)
    x = start(f)
    for _ in range(steps):
        x = 2 * x - f * x * x if plain else x + x * (1 - f * x)
    return math.ldexp(x, -e)


def _from_one(a):
    x = 1.0
    for _ in range(6):
        x = x + x * (1 - a * x)
    return x


def _eig(g, h, change):
    values, vectors = np.linalg.eigh(h)
    return -(vectors @ ((vectors.T @ g) / change(values)))


def _shifted(values):
    return values + max(0.0, 1e-3 * abs(values).max() - values.min()) + (0 if abs(values).max() else 1)


WRONG = {
    "reciprocal": {
        "starts at 1 whatever a is": _from_one,
        "starts at the fraction itself": lambda a: _power(a, lambda f: f, 6),
        "five steps": lambda a: _power(a, lambda f: 1.5, 5),
        "divides": lambda a: 1 / a,
        "starts at 2, just outside": lambda a: _power(a, lambda f: 2.0, 6),
    },
    "quasi_newton": {
        "oldest pair first": lambda g, pairs: _loops(g, pairs, order=-1),
        "I in place of γ I": lambda g, pairs: _loops(g, pairs, gamma=False),
        "a of another pair": lambda g, pairs: _loops(g, pairs, back=1),
        "uphill": lambda g, pairs: -_loops(g, pairs),
        "γ of the oldest pair": lambda g, pairs: _loops(g, pairs, gamma="oldest"),
        "y·y in place of s·y": lambda g, pairs: _loops(g, pairs, rho="yy"),
        "the whole matrix": _dense,
    },
    "saddle_free": {
        "Newton's step": lambda g, h: -np.linalg.lstsq(h, g, rcond=None)[0],
        "turned round if uphill": lambda g, h: (lambda p: p if g @ p < 0 else -p)(-np.linalg.pinv(h) @ g),
        "a shift": lambda g, h: _eig(g, h, _shifted),
        "negative eigenvalues raised to the floor": lambda g, h: _eig(
            g, h, lambda v: np.maximum(v, 1e-6 * (abs(v).max() or 1e6))
        ),
        "steepest descent": lambda g, h: -g,
        "no floor": lambda g, h: _eig(g, h, abs),
    },
    "truncated": {
        "ignores negative curvature": lambda *a: _cg(*a, stop=False),
        "returns zero on negative curvature at once": _cg,
        "steepest descent directions": lambda *a: _cg(*a, old=True),
        "the whole Hessian, column by column": _whole,
    },
}
