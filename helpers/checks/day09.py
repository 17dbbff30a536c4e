"""Checks of day 09: where a chain settles, Kneser–Ney from memory, bits per byte, the best mixture."""

import math

import numpy as np


def _chains():
    rng = np.random.default_rng(0)
    yield "two states, left with ½ and ¼", np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([1, 2]) / 3, 0.25
    yield "a single state", np.ones((1, 1)), np.ones(1), 0.0
    yield "two states that always swap", np.array([[0.0, 1], [1, 0]]), np.full(2, 0.5), 1.0
    path = np.array([[0, 1.0, 0], [0.5, 0, 0.5], [0, 1, 0]])
    yield "a path of three places, back and forth", path, np.array([1, 2, 1]) / 4, 1.0
    slow = np.array([[1 - 1e-7, 1e-7], [3e-7, 1 - 3e-7]])
    yield "a chain that mixes in ten million steps", slow, np.array([0.75, 0.25]), 1 - 4e-7
    swap = np.array([[0.1, 0.9], [0.8, 0.2]])
    yield "a chain whose second eigenvalue is negative", swap, np.array([8, 9]) / 17, 0.7
    turn = 0.1 * np.eye(3) + 0.9 * np.roll(np.eye(3), 1, 1)
    circling = abs(0.1 + 0.9 * np.exp(2j * np.pi / 3))
    yield "a one-way ring of three (complex eigenvalues)", turn, np.full(3, 1 / 3), circling
    for m in (3, 6, 12):
        p = rng.dirichlet(np.full(m, 0.3), m) * 0.9 + 0.1 / m
        limit = np.linalg.matrix_power(p, 4096)[0]
        yield f"{m} random states", p, limit, float(np.sort(np.abs(np.linalg.eigvals(p)))[-2])


def settle(fn):
    for what, p, pi, rate in _chains():
        got = fn(p.copy())
        assert isinstance(got, tuple) and len(got) == 2, "return two things: the distribution and |λ₂|"
        x, r = np.asarray(got[0]), got[1]
        assert x.shape == pi.shape, f"{what}: the distribution has shape {x.shape}, expected {pi.shape}"
        assert not np.iscomplexobj(x), f"{what}: the distribution is complex; take its real part, or solve for it"
        assert np.isfinite(x).all(), f"{what}: NaN or ∞ in the distribution"
        assert math.isclose(x.sum(), 1, abs_tol=1e-8), f"{what}: the shares sum to {x.sum():.4g}, not to 1"
        if not np.allclose(x, pi, atol=1e-7):
            flat = np.allclose(x, 1 / len(p), atol=1e-6)
            hint = (
                "uniform is what P 1 = 1 gives: you want the row vector with π P = π, an eigenvector of P transposed"
                if flat
                else "does your way need the walkers to arrive? A periodic or slow chain has π and does not reach it"
            )
            raise AssertionError(f"{what}: {x.round(4)} is off by {np.abs(x - pi).max():.2g}; {hint}")
        assert math.isclose(float(r), rate, abs_tol=1e-8), (
            f"{what}: |λ₂| is {rate:.8f}, got {float(r):.8f}: the second largest in absolute value counts, and it is "
            "the factor itself that is asked for, not the gap"
        )
    return "two states, one, periodic, slow, negative and complex second eigenvalues, random chains"


def _kn(text, n, history, symbol, d, letters, slip="", base=None):
    raw, backoff, start = slip == "raw", slip == "backoff", slip == "start"
    history = history[max(0, len(history) - n + 1) :] if n > 1 else ""
    p = 1 / len(letters) if base is None else base
    for k in range(1, len(history) + 2):
        h = history[: k - 1] if slip == "end" else history[len(history) - k + 1 :]
        count = {}
        for s in letters:
            at = [i for i in range(len(text)) if text.startswith(h + s, i)]
            near = {text[i - 1] if i else "^" for i in at if i or start}
            often = text.count(h + s) if slip == "overlap" else len(at)
            count[s] = often if k == n or raw else len(near)
        total = text.count(h) if slip == "total" and k == n and h else sum(count.values())
        if not total:
            continue
        kinds = sum(c > 0 for c in count.values())
        if backoff:
            p = max(count[symbol] - d, 0) / total if count[symbol] else d * kinds / total * p
        else:
            handed = d * (1 if slip == "once" else kinds) / total
            p = max(count[symbol] - d, 0) / total + handed * p
    return p


def kn_probability(fn):
    for w, want in (("n", 59 / 72), ("a", 11 / 72), ("b", 2 / 72)):
        got = fn("banana", 2, "a", w, 0.5, "abn")
        _same(got, want, f"banana of the text: p({w} | a)", ("banana", 2, "a", w, 0.5, "abn"))
    cases = (
        ("one character, n = 1", ("banana", 1, "", "a", 0.5, "abn")),
        ("n = 1 with a history that must be ignored", ("banana", 1, "ban", "b", 0.5, "abn")),
        ("a history longer than n − 1", ("banana", 2, "bana", "n", 0.3, "abn")),
        ("a history shorter than n − 1", ("banana", 3, "a", "n", 0.3, "abn")),
        ("no history at all, n = 3", ("banana", 3, "", "a", 0.3, "abn")),
        ("a history that never occurred", ("banana", 3, "bb", "a", 0.7, "abn")),
        ("a symbol that never occurred", ("banana", 2, "a", "z", 0.5, "abnz")),
        ("an empty text", ("", 2, "a", "b", 0.5, "ab")),
        ("a text of one letter", ("a", 3, "aa", "a", 0.5, "ab")),
        ("a context that only ends the text", ("aab", 2, "b", "a", 0.5, "ab")),
        ("overlapping occurrences", ("aaaaab", 3, "aa", "a", 0.4, "ab")),
    )
    for what, arguments in cases:
        _same(fn(*arguments), _kn(*arguments), what, arguments)
    rng = np.random.default_rng(1)
    for _ in range(60):
        letters = "abcd"[: rng.integers(1, 5)]
        text = "".join(rng.choice(list(letters), rng.integers(0, 30)))
        history = "".join(rng.choice(list(letters), rng.integers(0, 5)))
        n, d = int(rng.integers(1, 5)), float(rng.uniform(0.05, 0.95))
        got = [float(fn(text, n, history, w, d, letters)) for w in letters]
        for w, p in zip(letters, got, strict=True):
            arguments = (text, n, history, w, d, letters)
            _same(p, _kn(*arguments), f"text {text!r}, n = {n}, p({w} | {history!r}), d = {d:.2f}", arguments)
    return "the text's banana, short and long histories, never seen, empty texts, sixty random ones"


SLIPS = {
    "below order n count different left neighbours, not occurrences": {"slip": "raw"},
    "what is handed on is d for each different successor, not d once": {"slip": "once"},
    "interpolate: the shorter model adds its part for every symbol, also for those that were seen": {"slip": "backoff"},
    "at the bottom stands the uniform distribution, or what one character hands on is lost": {"base": 0.0},
    "the start of the text is not a neighbour": {"slip": "start"},
    "text.count steps over occurrences that overlap: look at every place": {"slip": "overlap"},
    "the shorter history drops its FIRST character, the farthest back": {"slip": "end"},
    "divide by the sum of the counts of h with a next symbol; an h that ends the text has none": {"slip": "total"},
}


def _same(got, want, what, arguments):
    if got is not None and math.isclose(float(got), want, rel_tol=1e-9, abs_tol=1e-12):
        return
    assert got is not None, f"{what}: nothing was returned"
    for words, slip in SLIPS.items():
        if math.isclose(float(got), _kn(*arguments, **slip), rel_tol=1e-9, abs_tol=1e-12):
            raise AssertionError(f"{what}: expected {want:.5f}, got {float(got):.5f}; {words}")
    raise AssertionError(f"{what}: expected {want:.5f}, got {float(got):.5f}")


def bits_per_byte(fn):
    ln2 = math.log(2)
    assert fn([], "") == 0, "of no text it is 0.0"
    for what, nats, text, want in (
        ("8 tokens of ln 2 for 8 letters", [ln2] * 8, "kneserey", 1.0),
        ("2 tokens for the same 8 letters, as many nats in all", [4 * ln2] * 2, "kneserey", 1.0),
        ("a Chinese text of 2 characters, 6 bytes in UTF-8", [3 * ln2, 3 * ln2], "困惑", 1.0),
        ("an accent", [5 * ln2], "café", 1.0),
        ("an emoji of 4 bytes in one token", [2.0], "🎲", 2.0 / ln2 / 4),
        ("tokens of unequal length", [0.5, 3.0, 1.25], "the cat sat", 4.75 / ln2 / 11),
        ("a sure model", [0.0, 0.0], "ab", 0.0),
    ):
        got = float(fn(list(nats), text))
        if math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12):
            continue
        size = max(len(text.encode()), 1)
        hint = ""
        if math.isclose(got, want * ln2):
            hint = "; those are nats, the answer is wanted in bits"
        elif math.isclose(got, want * size / max(len(text), 1)):
            hint = "; characters are not bytes: count the UTF-8 bytes"
        elif math.isclose(got, want * size / max(len(nats), 1)):
            hint = "; that is per token, and tokens differ between models: losses of one text add up"
        raise AssertionError(f"{what}: expected {want:.4f}, got {got:.4f}{hint}")
    return "whole and split tokens, Chinese, accents, an emoji, unequal tokens, a sure model, no text"


def best_weight(fn):
    rng = np.random.default_rng(2)
    one = np.array([0.5, 0.1])
    cases = [
        ("two outcomes, each model good at one", one, one[::-1].copy(), 0.5),
        ("p better everywhere", np.array([0.5, 0.4, 0.9]), np.array([0.1, 0.3, 0.2]), 1.0),
        ("q better everywhere", np.array([0.1, 0.3, 0.2]), np.array([0.5, 0.4, 0.9]), 0.0),
        ("q is 0 once", np.array([0.01, 0.1, 0.1]), np.array([0.0, 0.9, 0.9]), None),
        ("p is 0 once", np.array([0.0, 0.9, 0.9]), np.array([0.01, 0.1, 0.1]), None),
        ("a best share near an end", np.array([0.9] * 999 + [0.001]), np.array([0.8] * 999 + [0.99]), None),
    ]
    for n in (5, 50, 2000):
        cases.append((f"{n} random places", rng.random(n) ** 3, rng.random(n) ** 2, None))
    for what, p, q, want in cases:
        want = _weight(p, q) if want is None else want
        w = fn(p.copy(), q.copy())
        assert w is not None, "return the share w"
        w = float(w)
        assert math.isfinite(w) and 0 <= w <= 1, f"{what}: w = {w} is no share between 0 and 1"
        assert abs(w - want) < 2e-6, (
            f"{what}: best share {want:.6f}, got {w:.6f}; the likelihood of the mixture decides, a logarithm of a sum: "
            "look where its slope changes sign, until the interval is small enough"
        )
    return "both ends, zeros on either side, near an end, random models"


def _weight(p, q):
    low, high = 0.0, 1.0
    for _ in range(80):
        w = (low + high) / 2
        low, high = (w, high) if ((p - q) / (w * p + (1 - w) * q)).sum() > 0 else (low, w)
    return (low + high) / 2


def _sizes(p):
    return np.sort(np.abs(np.linalg.eigvals(p)))


def _solved(p):
    system = p.T - np.eye(len(p))
    system[-1] = 1.0
    return np.linalg.solve(system, np.eye(len(p))[-1])


def _right_vector(p):
    values, vectors = np.linalg.eig(p)
    v = np.real(vectors[:, np.argmax(values.real)])
    return v / v.sum(), float(_sizes(p)[-2]) if len(p) > 1 else 0.0


def _by_steps(p):
    x = np.eye(len(p))[0]
    for _ in range(1000):
        x = x @ p
    return x, float(_sizes(p)[-2]) if len(p) > 1 else 0.0


def _second_with_sign(p):
    values = np.sort(np.linalg.eigvals(p).real)
    return _solved(p), float(values[-2]) if len(p) > 1 else 0.0


def _gap(p):
    return _solved(p), float(1 - _sizes(p)[-2]) if len(p) > 1 else 0.0


def _mean_of_products(p, q):
    grid = np.linspace(0, 1, 101)
    with np.errstate(divide="ignore"):
        return float(grid[np.argmax([np.log(w * p + (1 - w) * q).sum() for w in grid])])


def _em(p, q):
    w = 0.5
    for _ in range(50):
        w = float(np.mean(w * p / (w * p + (1 - w) * q)))
    return w


WRONG = {
    "settle": {
        "the right eigenvector": _right_vector,
        "a thousand steps": _by_steps,
        "the second eigenvalue with its sign": _second_with_sign,
        "the gap instead of the factor": _gap,
    },
    "kn_probability": {
        "occurrences below": lambda *a: _kn(*a, slip="raw"),
        "one discount handed on": lambda *a: _kn(*a, slip="once"),
        "backing off instead of interpolating": lambda *a: _kn(*a, slip="backoff"),
        "no uniform floor": lambda *a: _kn(*a, base=0.0),
        "text.count": lambda *a: _kn(*a, slip="overlap"),
        "drops the last character": lambda *a: _kn(*a, slip="end"),
        "divides by all occurrences of the history": lambda *a: _kn(*a, slip="total"),
        "the start counted as a neighbour": lambda *a: _kn(*a, slip="start"),
    },
    "bits_per_byte": {
        "mean loss per token": lambda nats, text: sum(nats) / math.log(2) / len(nats) if nats else 0.0,
        "per character": lambda nats, text: sum(nats) / math.log(2) / len(text) if text else 0.0,
        "nats": lambda nats, text: sum(nats) / len(text.encode()) if text else 0.0,
    },
    "best_weight": {
        "a grid of hundredths": _mean_of_products,
        "fifty rounds of EM": _em,
        "how often p is larger": lambda p, q: float((p > q).mean()),
        "shares of the summed probabilities": lambda p, q: float(p.sum() / (p.sum() + q.sum())),
    },
}
