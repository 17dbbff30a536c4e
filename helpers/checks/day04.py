"""Hidden checks of day 04: power and inverse iteration, shifted QR, PageRank over edges, the hump of powers."""

import numpy as np


def dominant(fn):
    rng = np.random.default_rng(0)
    for n, value, symmetric in ((1, 3.0, True), (2, 5.0, True), (6, 4.0, False), (6, -4.0, False), (9, -2.0, True)):
        v = rng.standard_normal((n, n))
        v = np.linalg.qr(v)[0] if symmetric else v
        values = np.r_[value, rng.uniform(-0.5, 0.5, n - 1) * value]
        a, x = v * values @ np.linalg.inv(v), rng.standard_normal(n)
        given = x.copy()
        out = fn(a, x, 120)
        assert isinstance(out, tuple) and len(out) == 2, "return two things: the eigenvalue and the unit vector"
        got, vector = float(out[0]), np.asarray(out[1])
        assert np.array_equal(x, given), "x itself was changed: work on a copy"
        assert np.isfinite(got), "not a number came out: is an entry of the vector divided by another that is 0?"
        assert abs(got + value) > 1e-6, f"the eigenvalue is {value:g}, you say {got:g}: a length has no sign"
        assert abs(got - value) < 1e-8, f"the dominant eigenvalue is {value:g}, you say {got:g}; is x of length 1?"
        assert vector.shape == (n,) and abs(np.linalg.norm(vector) - 1) < 1e-10, "the vector should have length 1"
        assert np.linalg.norm(a @ vector - value * vector) < 1e-7, "A x is not λ x: return the last vector"
    big = fn(np.diag([1e100, 1.0]), np.array([1.0, 1.0]), 50)[0]
    assert abs(big / 1e100 - 1) < 1e-9, "with eigenvalue 1e100 it overflows: set the length back in every step"
    axis = fn(np.diag([0.0, 2.0]), np.array([0.0, 3.0]), 10)
    assert abs(axis[0] - 2) < 1e-12, f"a vector with zeros in it: eigenvalue 2, you say {axis[0]}"
    value, vector = fn(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([3.0, 4.0]), 5)
    assert value == 0 and np.allclose(vector, [1, 0]), (
        f"A² = 0: after one step (1, 0), then zero; return 0.0 and (1, 0), got {value} and {np.asarray(vector)}"
    )
    return "symmetric and general, negative, huge, on an axis, and a vector that vanishes"


def nearest(fn):
    rng = np.random.default_rng(1)
    for n, s in ((1, -1.0), (3, 1.9), (5, -2.2), (8, 4.1), (8, -6.9)):
        q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        values = np.linspace(-7, 7, n) if n > 1 else np.array([-3.0])
        a = q * values @ q.T
        a = (a + a.T) / 2
        want = values[np.abs(values - s).argmin()]
        got = float(fn(a, s, 60))
        here = f"eigenvalues {values.round(2).tolist()}, s = {s}: "
        assert abs(got - want) < 1e-8 or abs(s + got - want) > 1e-8, here + f"{got:g} still lacks the shift s"
        far = values[np.abs(values - s).argmax()]
        assert abs(got - far) > 1e-6 or n == 1, here + f"{got:g} is the farthest: solve with A - sI, do not multiply"
        inverse = 1 / (want - s)
        assert abs(got - inverse) > 1e-8, here + f"{got:g} belongs to the inverse: which eigenvalue of A is it?"
        assert abs(got - s - inverse) > 1e-8, here + f"{got:g} is s + 1/(λ - s), not λ"
        assert abs(got - want) < 1e-8, here + f"the nearest is {want:g}, you say {got:g}"
    chain, want = np.array([[4.0, 2.0, 0.0], [2.0, 4.0, 2.0], [0.0, 2.0, 4.0]]), 4 - 8**0.5
    got = float(fn(chain, 1.9, 60))
    assert abs(got - want) < 1e-8, (
        f"eigenvalues [{want:.2f}, 4.0, {8 - want:.2f}], s = 1.9: the nearest is {want:.2f}, you say {got:g}: an s "
        "that follows the reading is fast, but may run away from where it was put; keep s as it was given"
    )
    exact = fn(np.diag([1.0, 2.0, 5.0]), 2.0, 10)
    assert exact == 2.0, f"s is an eigenvalue: the system is singular, return s = 2, got {exact}"
    return "six matrices, negative and positive shifts, and one exactly on an eigenvalue"


def qr_values(fn):
    rng = np.random.default_rng(4)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    cases = {
        "one by one": np.array([[-3.0]]),
        "1 and -1": np.array([[0.0, 1.0], [1.0, 0.0]]),
        "zeros": np.zeros((3, 3)),
        "diagonal": np.diag([2.0, -1.0, 5.0, 0.0]),
        "a zero beside the corner": np.array([[1.0, 0.0, 2.0], [0.0, 5.0, 0.0], [2.0, 0.0, 3.0]]),
        "neighbours": turn * np.array([1, 0.999, 0.998, -1, -0.999, 0.5]) @ turn.T,
        "repeated": turn * np.array([2.0, 2, 2, -1, -1, 0]) @ turn.T,
    }
    for n in (4, 7, 12):
        g = rng.standard_normal((n, n)) * 10.0 ** (n - 8)
        cases[f"random, {n} x {n}"] = g
    for word, a in cases.items():
        a = (a + a.T) / 2
        given, want = a.copy(), np.linalg.eigvalsh(a)
        got = fn(a)
        assert np.array_equal(a, given), "a itself was changed: work on a copy"
        assert isinstance(got, np.ndarray) and got.shape == want.shape, (
            f"{word}: return an array of {len(a)} numbers, got {getattr(got, 'shape', type(got).__name__)}"
        )
        off, norm = np.abs(got - want).max(), np.linalg.norm(a)
        if off > 1e-11 * norm:
            assert np.abs(np.sort(got) - want).max() > 1e-11 * norm, f"{word}: the right numbers, sort them rising"
            lost = abs(got.sum() - np.trace(a)) > 1e-9 * norm
            hint = (
                "they should add up to the trace and do not: is each shift added back, and Q the same on both sides?"
                if lost
                else "is the *whole* last row gone before it is put aside, does the shift come from the 2 x 2 block?"
            )
            raise AssertionError(f"{word}: off by {off / norm:.0e} of the norm; {hint}")
    return "ten matrices: 1 and -1, zeros, a zero beside the corner, neighbours and repeated values among them"


def _rank(n, edges, damping, jump):
    s = np.zeros((n, n))
    for i, j in edges:
        s[j, i] = 1
    total = s.sum(0)
    s[:, total == 0] = jump[:, None]
    s /= np.where(total == 0, 1, total)
    return np.linalg.solve(np.eye(n) - damping * s, (1 - damping) * jump)


def rank_pages(fn):
    rng = np.random.default_rng(2)
    uniform = np.full(3, 1 / 3)
    star = [(0, 2), (1, 2)]
    got = np.asarray(fn(3, star, 0.85, uniform))
    assert got.shape == (3,), f"return one number per page, shape (3,), got {got.shape}"
    assert np.isfinite(got).all(), "not a number came out: a dead end has no links to divide by"
    assert got.argmax() == 2, "pages 0 and 1 link to page 2, yet another ranks first: an edge is (from, to)"
    assert abs(got.sum() - 1) < 1e-9, f"the ranks sum to {got.sum():.3f}: where do the surfers on a dead end go?"
    for n, m, damping in ((3, 2, 0.85), (6, 0, 0.85), (12, 30, 0.5), (40, 90, 0.95), (40, 200, 0.85)):
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        edges = [pairs[k] for k in rng.permutation(len(pairs))[:m]]
        for jump in (np.full(n, 1 / n), np.eye(n)[0], rng.dirichlet(np.ones(n))):
            given = jump.copy()
            got, want = np.asarray(fn(n, edges, damping, jump)), _rank(n, edges, damping, jump)
            assert np.array_equal(jump, given), "jump itself was changed: work on a copy"
            even = np.allclose(jump, 1 / n)
            off = np.abs(got - want).sum()
            here = f"{n} pages, {m} links, {'uniform' if even else 'personal'} jump: "
            assert off < 1e-9 or even, here + f"total error {off:.0e}; do dead ends and clicks both go where jump says?"
            assert off < 1e-9 or off > 0.01, here + f"close, but {off:.0e} off: go on until the change is below 1e-13"
            assert off < 1e-9, here + (
                f"total error {off:.0e}; is each page's vote divided by its number of links? "
                "Do dead ends jump, or is what they lose made up otherwise, by a division in every click?"
            )
    ring = [(0, 1), (1, 0)]
    assert np.allclose(
        fn(2, ring, 0.99, np.array([1.0, 0.0])), _rank(2, ring, 0.99, np.array([1.0, 0.0])), atol=1e-9
    ), "two pages in a ring with damping 0.99 are not yet settled: iterate until the total change is below 1e-13"
    return "fifteen random graphs, uniform and personal jumps, no edge at all, a slow ring"


def _peak(a, most=2000):
    p, norms = np.eye(len(a)), [1.0]
    for _ in range(most):
        p = p @ a
        norms.append(np.linalg.norm(p, 2))
    return int(np.argmax(norms)), max(norms)


def peak(fn):
    rng = np.random.default_rng(3)
    cases = {
        "corner 10": np.array([[0.9, 10.0], [0.0, 0.9]]),
        "slow, 0.99": np.array([[0.99, 1.0], [0.0, 0.99]]),
        "symmetric": np.diag([0.9, -0.5, 0.1]),
        "two humps": _two_humps(),
        "a long dip": np.diag([10.0, *11 * [0.85], 10.0], k=1),  # falls eleven times, then rises to 16.7
        "slower, 0.9993": np.array([[0.9993, 1.0], [0.0, 0.9993]]),
        "nilpotent": np.diag([2.0, 0.1, 8.0, 3.0], k=1),
        "zero": np.zeros((2, 2)),
        "complex pair": 0.8 * np.array([[0.0, -4.0], [0.25, 0.0]]),
    }
    for i in range(6):
        g = np.triu(rng.standard_normal((5, 5)) * 3, 1) + np.diag(rng.uniform(-0.9, 0.9, 5))
        cases[f"random {i}"] = g
    for word, a in cases.items():
        given, (k, want) = a.copy(), _peak(a)
        out = fn(a)
        assert np.array_equal(a, given), "a itself was changed: work on a copy"
        assert isinstance(out, tuple) and len(out) == 2, "return two things: k and the norm"
        got_k, got = out
        assert got > want * (1 - 1e-9), (
            f"{word}: you stop with {got:.4g} at k = {got_k}, but the norm reaches {want:.4g} at k = {k}: "
            "eigenvalues do not bound the way, and a fall may be followed by a rise; when can nothing larger come?"
        )
        assert got < want * (1 + 1e-9), f"{word}: {got:.7g} is above the largest spectral norm {want:.7g}; which norm?"
        assert got_k == k, f"{word}: the largest norm is at k = {k} (k = 0 is the identity), you say {got_k}"
    for word, a in (("1", np.eye(2)), ("-1.1", np.diag([0.3, -1.1])), ("±i", np.array([[0.0, -1.0], [1.0, 0.0]]))):
        try:
            out = fn(a)
        except ValueError:
            continue
        raise AssertionError(f"with an eigenvalue {word} the powers do not decay: raise ValueError, got {out}")
    return "fifteen matrices, two with a dip and two slow ones among them, and three that do not decay"


def _two_humps():
    return np.diag([3.0, 0.4, 3.0], k=1)  # norms 3, 1.2, 3.6, 0


def _by_length(a, x, steps):
    x = x / np.linalg.norm(x)
    length = 0.0
    for _ in range(steps):
        y = a @ x
        length = np.linalg.norm(y)
        if length == 0:
            return 0.0, x
        x = y / length
    return length, x


def _by_entry(a, x, steps):
    value, _ = 0.0, None
    x = x / np.linalg.norm(x)
    for _ in range(steps):
        y = a @ x
        if not y.any():
            return 0.0, x
        with np.errstate(all="ignore"):
            value = y[0] / x[0]
        x = y / np.linalg.norm(y)
    return value, x


def _length_at_the_end(a, x, steps):
    with np.errstate(all="ignore"):
        for _ in range(steps):
            x = a @ x
        x = x / np.linalg.norm(x)
        return float(x @ a @ x), x


def _inverse(kind):
    def fn(a, s, steps):
        x = np.arange(1.0, len(a) + 1)
        m = a - s * np.eye(len(a))
        mu = 0.0
        for _ in range(steps):
            try:
                y = m @ x if kind == "multiply" else np.linalg.solve(m, x)
            except np.linalg.LinAlgError:
                return float(s)
            mu = x @ y / (x @ x)
            x = y / np.linalg.norm(y)
        return {"inverse": mu, "sum": s + mu, "unshifted": x @ m @ x, "multiply": x @ a @ x}[kind]

    return fn


def _following(a, s, steps):
    x = np.arange(1.0, len(a) + 1)
    for _ in range(steps):
        try:
            x = np.linalg.solve(a - s * np.eye(len(a)), x)
        except np.linalg.LinAlgError:
            return float(s)
        x = x / np.linalg.norm(x)
        s = float(x @ a @ x)
    return s


def _qr(kind):
    def fn(a):
        a = np.array(a, dtype=float)
        n, tiny = len(a), 2.0**-53 * np.linalg.norm(a)
        for _ in range(60 * n):
            if n < 2:
                break
            row = a[n - 1, n - 2 : n - 1] if kind == "neighbour" else a[n - 1, : n - 1]
            if np.linalg.norm(row) <= tiny:
                n -= 1
                continue
            half, b, s = (a[n - 2, n - 2] - a[n - 1, n - 1]) / 2, a[n - 1, n - 2], a[n - 1, n - 1]
            if kind != "corner" and b:
                s -= np.copysign(b * b, half) / (abs(half) + np.hypot(half, b))
            s = 0 if kind == "plain" else s
            q, r = np.linalg.qr(a[:n, :n] - s * np.eye(n))
            a[:n, :n] = (q @ r if kind == "order" else r @ q) + (0 if kind == "lost" else s) * np.eye(n)
        values = np.diag(a).copy()
        return values if kind == "unsorted" else np.sort(values)

    return fn


def _ranks(kind):
    def fn(n, edges, damping, jump):
        source, target = np.array(edges, dtype=int).reshape(-1, 2).T
        if kind == "backwards":
            source, target = target, source
        links = np.bincount(source, minlength=n)
        x = np.array(jump, dtype=float)
        for _ in range(3000):
            votes = x[source] if kind == "whole votes" else x[source] / links[source]
            new = np.bincount(target, votes, minlength=n)
            if kind == "whole votes":
                new = new / max(new.sum(), 1e-300) * x[links > 0].sum()
            lost = 0 if kind in ("lost", "divided", "stay") else x[links == 0].sum()
            where = np.full(n, 1 / n) if kind == "anywhere" else jump
            if kind == "stay":
                new = new + x * (links == 0)
            old, x = x, damping * (new + lost * where) + (1 - damping) * jump
            if kind == "divided":
                x = x / x.sum()
            if np.abs(x - old).sum() < (1e-3 if kind == "hasty" else 1e-13):
                break
        return x

    return fn


def _by_radius(a):
    if np.abs(np.linalg.eigvals(a)).max() >= 1:
        raise ValueError
    return 0, 1.0


def _first_fall(a):
    if np.abs(np.linalg.eigvals(a)).max() >= 1:
        raise ValueError
    k, best, p = 0, 1.0, a
    while np.linalg.norm(p, 2) > best:
        k, best, p = k + 1, np.linalg.norm(p, 2), p @ a
    return k, best


def _so_many(most):
    def fn(a):
        if np.abs(np.linalg.eigvals(a)).max() >= 1:
            raise ValueError
        return _peak(a, most)

    return fn


def _five_falls(a):
    if np.abs(np.linalg.eigvals(a)).max() >= 1:
        raise ValueError
    norms, p = [1.0], np.eye(len(a))
    while len(norms) < 6 or any(x < y for x, y in zip(norms[-6:-1], norms[-5:], strict=True)):
        p = p @ a
        norms.append(np.linalg.norm(p, 2))
    return int(np.argmax(norms)), max(norms)


def _frobenius(a):
    if np.abs(np.linalg.eigvals(a)).max() >= 1:
        raise ValueError
    norms = [np.linalg.norm(np.linalg.matrix_power(a, k)) for k in range(400)]
    return int(np.argmax(norms)), max(norms)


WRONG = {
    "dominant": {
        "takes the length for the eigenvalue": _by_length,
        "divides first entries": _by_entry,
        "sets the length back only at the end": _length_at_the_end,
    },
    "nearest": {
        "returns the inverse's eigenvalue": _inverse("inverse"),
        "adds the shift to the inverse's eigenvalue": _inverse("sum"),
        "forgets to undo the shift": _inverse("unshifted"),
        "multiplies instead of solving": _inverse("multiply"),
        "lets s follow the reading": _following,
    },
    "qr_values": {
        "never shifts": _qr("plain"),
        "takes the corner for the shift": _qr("corner"),
        "does not add the shift back": _qr("lost"),
        "multiplies in the old order": _qr("order"),
        "looks at one entry of the last row": _qr("neighbour"),
        "leaves them as they come": _qr("unsorted"),
    },
    "rank_pages": {
        "loses the surfers on dead ends": _ranks("lost"),
        "reads edges backwards": _ranks("backwards"),
        "sends dead ends anywhere": _ranks("anywhere"),
        "gives every link a whole vote": _ranks("whole votes"),
        "stops too early": _ranks("hasty"),
        "divides by the sum in every click": _ranks("divided"),
        "lets the surfers stay on dead ends": _ranks("stay"),
    },
    "peak": {
        "trusts the spectral radius": _by_radius,
        "stops at the first fall": _first_fall,
        "looks at fifty powers": _so_many(50),
        "looks at a thousand powers": _so_many(1000),
        "stops after five falls in a row": _five_falls,
        "takes the Frobenius norm": _frobenius,
    },
}
