"""Checks of day 08: a posterior in logarithms, naive Bayes, another prior, the calibration error."""

import math

import numpy as np


def posterior(fn):
    got = fn([0.5, 0.5], [math.log(0.2), math.log(0.6)])
    assert isinstance(got, list), f"return a list, got {type(got).__name__}"
    _near(got, [0.25, 0.75], "equal priors, likelihoods 0.2 and 0.6")
    _near(fn([0.9, 0.1], [0.0, 0.0]), [0.9, 0.1], "data that fit both equally well leave the prior (0.9, 0.1) as it is")
    _near(fn([0.8, 0.2], [math.log(0.1), math.log(0.4)]), [0.5, 0.5], "prior 4 : 1 against evidence 1 : 4")
    tiny = _give(fn, [0.5, 0.5], [-5000.0, -5001.0], "log-likelihoods near −5,000")
    want = 1 / (1 + math.exp(-1))
    _near(tiny, [want, 1 - want], "log-likelihoods near −5,000 (take out the largest before the exponential)")
    for what, prior, log_likelihood in (
        ("an impossible hypothesis, and an unlikely one", [0.3, 0.7], [-math.inf, -3000.0]),
        ("a prior of 0 stays 0, however well its hypothesis fits", [0.0, 1.0], [0.0, -9000.0]),
    ):
        _near(_give(fn, prior, log_likelihood, what), [0.0, 1.0], what)
    _near(fn([1.0], [-4.0]), [1.0], "a single hypothesis")
    for prior, log_likelihood in (([0.5, 0.5], [-math.inf, -math.inf]), ([0.0, 1.0], [0.0, -math.inf])):
        try:
            got = fn(prior, log_likelihood)
        except ValueError as err:
            if "math domain" in str(err):
                raise AssertionError("a logarithm of 0 was taken: treat a prior of 0 by itself") from err
            continue
        raise AssertionError(f"every hypothesis is refuted, so raise ValueError; you returned {got}")
    rng = np.random.default_rng(0)
    for _ in range(30):
        k = int(rng.integers(1, 7))
        prior, level = rng.dirichlet(np.ones(k)), rng.normal(0, 4, k)
        want = prior * np.exp(level)
        _near(fn(prior.tolist(), level.tolist()), want / want.sum(), "random priors and likelihoods")
    return "by hand, −5,000, impossible ones, a prior of 0, all refuted, thirty random lists"


def _give(fn, prior, log_likelihood, what):
    try:
        return fn(list(prior), list(log_likelihood))
    except (ValueError, ZeroDivisionError, OverflowError) as err:
        message = (
            f"{what}: {err}; there is an answer, but every exponential is 0 (take the largest score out first), or a "
            "logarithm of 0 was taken (treat a prior of 0 by itself)"
        )
    raise AssertionError(message)


def _near(got, want, what):
    assert np.shape(got) == np.shape(want), f"{what}: one number a hypothesis, got {got}"
    shown, meant = [round(float(g), 4) for g in got], [round(float(x), 4) for x in want]
    assert np.isfinite(got).all(), f"{what}: got {shown}"
    assert np.allclose(got, want, rtol=1e-9, atol=1e-12), f"{what}: expected {meant}, got {shown}"


def _log_odds(documents, labels, query, alpha=1.0, *, prior=True, once=False, unknown=False, size=None, binary=False):
    vocabulary = {u for document in documents for u in document}
    score = [0.0, 0.0]
    for c in (0, 1):
        mine = [set(d) if binary else d for d, label in zip(documents, labels, strict=True) if label == c]
        said = [u for d in mine for u in d]
        v = {"class": len(set(said)), "none": 0}.get(size or "", len(vocabulary))
        score[c] = math.log(len(mine) / len(documents)) if prior else 0.0
        for u in set(query) if once else query:
            if u in vocabulary or unknown:
                score[c] += math.log((said.count(u) + alpha) / (len(said) + alpha * v))
    return score[1] - score[0]


SLIPS = {
    "the prior shares of the classes are missing": {"prior": False},
    "a repeated word of the query counts each time": {"once": True},
    "a word that occurs several times in a training document counts each time": {"binary": True},
    "a word outside the training vocabulary counts for nothing": {"unknown": True},
    "the imaginary sightings are of each word of the whole vocabulary, not only of the class's own": {"size": "class"},
    "the imaginary sightings belong into the total too, or the shares do not add up to 1": {"size": "none"},
}


def naive_log_odds(fn):
    documents = [["good", "tea"], ["good", "good", "tea"], ["bad", "tea"]]
    cases = [("bad tea, on paper ln(75/128)", documents, [1, 1, 0], ["bad", "tea"], 1.0)]
    cases += [
        ("bad tea twice", documents, [1, 1, 0], ["bad", "tea", "bad", "tea"], 1.0),
        ("alpha 0.1", documents, [1, 1, 0], ["good"], 0.1),
        ("a word not in the vocabulary", documents, [1, 1, 0], ["coffee", "good"], 1.0),
        ("an empty query", documents, [1, 1, 0], [], 1.0),
        ("an empty training document", [["a"], [], ["b", "b"]], [0, 0, 1], ["b", "a", "b"], 0.5),
        ("3,000 words", documents, [1, 1, 0], ["bad"] * 3000, 1.0),
    ]
    rng = np.random.default_rng(1)
    for _ in range(30):
        rows = [[f"w{k}" for k in rng.integers(0, 9, rng.integers(0, 8))] for _ in range(9)]
        labels = [0, 1, *rng.integers(0, 2, 7).tolist()]
        query = [f"w{k}" for k in rng.integers(0, 12, rng.integers(0, 9))]
        cases.append(("random documents", rows, labels, query, float(rng.uniform(0.05, 2))))
    for what, rows, labels, query, alpha in cases:
        want = _log_odds(rows, labels, query, alpha)
        try:
            got = fn([list(row) for row in rows], list(labels), list(query), alpha=alpha)
        except (ZeroDivisionError, ValueError) as err:
            message = f"{what}: {err}; probabilities of long texts vanish, so add logarithms instead"
            raise AssertionError(message) from err
        assert isinstance(got, float), f"return a float, got {type(got).__name__}"
        assert math.isfinite(got), f"{what}: got {got}; probabilities of long texts vanish, so add logarithms"
        if math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9):
            continue
        for words, slip in SLIPS.items():
            other = _log_odds(rows, labels, query, alpha, **slip)
            if math.isclose(got, other, rel_tol=1e-9, abs_tol=1e-9):
                raise AssertionError(f"{what}: {words}")
        assert not math.isclose(got, -want, rel_tol=1e-9), f"{what}: the sign; class 1 comes first"
        raise AssertionError(f"{what}: expected {want:.6f}, got {got:.6f}")
    plain = fn([list(row) for row in documents], [1, 1, 0], ["bad", "tea"])
    assert math.isclose(plain, math.log(75 / 128)), "without a fourth argument alpha is 1"
    return "the paper's reviews, repeats, unknown words, empty texts, 3,000 words, thirty random sets"


def shift_prior(fn):
    assert math.isclose(fn(0.7, 0.5, 0.5), 0.7), "the same prior changes nothing: 0.7 stays 0.7"
    got, want = float(fn(0.9, 0.5, 0.1)), 0.5
    assert not got > 1, f"p = 0.9, from 0.5 to 0.1 gives {got:.3f}, which is no probability"
    assert not math.isclose(got, 0.9 * 0.1 / 0.5), (
        "p × new/old shrinks the positives and leaves the negatives as they were: both classes' shares change"
    )
    assert math.isclose(got, want), f"odds 9 : 1 times (1 : 9) over (1 : 1) are even, so 0.5; got {got:.4f}"
    for p, old, new in ((0.2, 0.65, 0.1), (0.97, 0.65, 0.1), (0.3, 0.01, 0.6), (1e-9, 0.2, 0.3)):
        odds = p / (1 - p) * (new / (1 - new)) / (old / (1 - old))
        got = float(fn(p, old, new))
        assert 0 <= got <= 1, f"p = {p}, {old} → {new}: {got:.3f} is no probability; odds multiply, not probabilities"
        assert math.isclose(got, odds / (1 + odds), rel_tol=1e-9), (
            f"p = {p}, {old} → {new}: expected {odds / (1 + odds):.6g}, got {got:.6g}; posterior odds × new prior odds "
            "÷ old prior odds"
        )
        back = float(fn(got, new, old))
        assert math.isclose(back, p, rel_tol=1e-9), f"there and back must give p = {p} again, got {back:.6g}"
    for p in (0.0, 1.0):
        try:
            got = fn(p, 0.4, 0.1)
        except (ZeroDivisionError, ValueError) as err:
            raise AssertionError(f"p = {p:g} must stay so: odds of 1 to 0 divide by zero, the shares need not") from err
        assert got == p, f"p = {p:g} must stay so, got {got}"
    return "same prior, even odds, four cases there and back, 0 and 1"


def _ece(p, label, bins, weigh="cases", edge="up", absolute=True):
    p, label = np.asarray(p, float), np.asarray(label, float)
    place = np.ceil(p * bins).astype(int) - 1 if edge == "down" else (p * bins).astype(int)
    place = np.clip(place, 0, bins - 1)
    gaps, shares = [], []
    for k in range(bins):
        inside = place == k
        if inside.any():
            gap = (p[inside] - label[inside]).mean()
            gaps.append(abs(gap) if absolute else gap)
            shares.append(inside.mean())
    return float(abs(np.mean(gaps) if weigh == "bins" else np.dot(gaps, shares)))


def calibration_error(fn):
    p, label = [0.1, 0.1, 0.1, 0.9], [0, 0, 1, 0]
    want = _ece(p, label, 10)
    got = float(fn(p, label))
    assert not math.isclose(got, _ece(p, label, 10, weigh="bins")), (
        "bins of one case and of three weigh the same in yours; average over the cases, not over the bins"
    )
    assert not math.isclose(got, float(np.mean(np.abs(np.subtract(p, label))))), (
        "compare the *mean* probability of a bin with its *share* of ones; case by case an honest 0.5 is off by 0.5"
    )
    middle = abs(0.15 - 1 / 3) * 0.75 + 0.95 * 0.25
    assert not math.isclose(got, middle), "the mean of what was stated in a bin is meant, not the bin's middle"
    assert math.isclose(got, want), f"0.1, 0.1, 0.1, 0.9 with labels 0, 0, 1, 0: expected {want:.4f}, got {got:.4f}"
    opposite = ([0.2, 0.2, 0.8, 0.8], [1, 0, 1, 0])
    assert math.isclose(fn(*opposite, 5), 0.3), (
        f"too low in one bin and too high in another must not cancel: expected 0.3, got {fn(*opposite, 5):.4f}"
    )
    assert math.isclose(fn([0.0, 1.0, 1.0], [0, 1, 1], 4), 0, abs_tol=1e-12), "0 and 1, always right: the error is 0"
    edges = ([0.5, 0.4, 0.75, 0.6], [0, 1, 1, 0])
    assert math.isclose(fn(*edges, 2), _ece(*edges, 2)), (
        "a value on an inner edge (0.5 with two bins) belongs to the upper bin"
    )
    one = float(fn([0.7, 0.3], [1, 1], 1))
    assert not math.isclose(one, 0.2), (
        "0.7 and 0.3, both 1: you compare the confidence in the likelier class with how often that class is right; "
        "p is the probability of class 1, so 0.3 stays 0.3"
    )
    assert math.isclose(one, 0.5), f"with a single bin |mean probability − share of ones|: expected 0.5, got {one:.4f}"
    rng = np.random.default_rng(2)
    for _ in range(40):
        n, bins = int(rng.integers(1, 60)), int(rng.integers(1, 15))
        p = np.append(rng.random(n), [0.0, 1.0])
        label = rng.integers(0, 2, n + 2)
        got, want = fn(p.tolist(), label.tolist(), bins), _ece(p, label, bins)
        assert math.isfinite(got), "a bin without cases gives NaN: it has no weight"
        assert math.isclose(got, want, rel_tol=1e-9), f"random, {bins} bins: expected {want:.5f}, got {got:.5f}"
    return "by hand, opposite errors, 0 and 1, edges, one bin, forty random sets with empty bins"


def _confidence(p, label, bins=10):
    p, label = np.asarray(p, float), np.asarray(label)
    return _ece(np.maximum(p, 1 - p), (p >= 0.5) == label, bins)


def _middle(p, label, bins=10):
    p, label = np.asarray(p, float), np.asarray(label, float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(place, (place + 0.5) / bins - label)).sum() / len(p))


def _shares_only(prior, log_likelihood):
    shares = [p * math.exp(s) for p, s in zip(prior, log_likelihood, strict=True)]
    if sum(shares) == 0:
        raise ValueError("every hypothesis is impossible")
    return [share / sum(shares) for share in shares]


def _no_prior(prior, log_likelihood):
    top = max(log_likelihood)
    shares = [math.exp(s - top) for s in log_likelihood]
    return [share / sum(shares) for share in shares]


def _log_of_zero(prior, log_likelihood):
    scores = [math.log(p) + s for p, s in zip(prior, log_likelihood, strict=True)]
    top = max(scores)
    if top == -math.inf:
        raise ValueError("every hypothesis is impossible")
    shares = [math.exp(s - top) for s in scores]
    return [share / sum(shares) for share in shares]


def _uniform_if_refuted(prior, log_likelihood):
    scores = [math.log(p) + s if p > 0 else -math.inf for p, s in zip(prior, log_likelihood, strict=True)]
    top = max(scores)
    if top == -math.inf:
        return [1 / len(prior)] * len(prior)
    shares = [math.exp(s - top) for s in scores]
    return [share / sum(shares) for share in shares]


def _multiplied(documents, labels, query, alpha=1.0):
    vocabulary = {u for document in documents for u in document}
    p = [0.0, 0.0]
    for c in (0, 1):
        mine = [d for d, label in zip(documents, labels, strict=True) if label == c]
        said = [u for d in mine for u in d]
        p[c] = len(mine) / len(documents)
        for u in query:
            if u in vocabulary:
                p[c] *= (said.count(u) + alpha) / (len(said) + alpha * len(vocabulary))
    return math.log(p[1] / p[0])


WRONG = {
    "posterior": {
        "exponentials without taking out the largest": _shares_only,
        "ignores the prior": _no_prior,
        "logarithm of a prior of 0": _log_of_zero,
        "answers though all are refuted": _uniform_if_refuted,
    },
    "naive_log_odds": {
        "no prior": lambda *a, **k: _log_odds(*a, **k, prior=False),
        "each word once": lambda *a, **k: _log_odds(*a, **k, once=True),
        "each training word once": lambda *a, **k: _log_odds(*a, **k, binary=True),
        "unknown words smoothed": lambda *a, **k: _log_odds(*a, **k, unknown=True),
        "the class's own vocabulary": lambda *a, **k: _log_odds(*a, **k, size="class"),
        "smoothing in the counts only": lambda *a, **k: _log_odds(*a, **k, size="none"),
        "probabilities multiplied": _multiplied,
    },
    "shift_prior": {
        "probability times the ratio": lambda p, old, new: p * new / old,
        "the ratio upside down": lambda p, old, new: p * old / new / (p * old / new + (1 - p) * (1 - old) / (1 - new)),
        "only the positives' share": lambda p, old, new: p * new / old / (p * new / old + 1 - p),
        "odds of a certain case": lambda p, old, new: 1 / (1 + 1 / (p / (1 - p) * new / (1 - new) * (1 - old) / old)),
    },
    "calibration_error": {
        "averages over bins": lambda p, label, bins=10: _ece(p, label, bins, weigh="bins"),
        "edges to the lower bin": lambda p, label, bins=10: _ece(p, label, bins, edge="down"),
        "errors of bins cancel": lambda p, label, bins=10: _ece(p, label, bins, absolute=False),
        "the confidence in the likelier class": _confidence,
        "the middle of the bin": _middle,
        "case by case": lambda p, label, bins=10: float(np.mean(np.abs(np.subtract(p, label)))),
    },
}
