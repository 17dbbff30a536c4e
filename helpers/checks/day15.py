"""Checks of day 15: a schedule with a floor, the largest eigenvalue, critical first weights, a resting norm."""

import math

import numpy as np


def wsd_rate(fn):
    for total, peak, warm, decay, floor in (
        (100, 1.0, 10, 20, 0.0),
        (50, 0.3, 0, 10, 0.1),
        (40, 2.0, 5, 0, 0.5),
        (30, 1.0, 10, 20, 0.2),
        (8, 1.0, 0, 0, 0.0),
    ):
        for step in range(total + 1):
            want = _rate(step, total, peak, warm, decay, floor)
            got = fn(step, total, peak, warm, decay, floor)
            if math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12):
                continue
            part = "warm-up" if step < warm else "plateau" if step <= total - decay else "decay"
            hint = {
                "warm-up": "warm + 1 equal steps lead from 0, which is never used, to the peak at step = warm",
                "plateau": "the peak itself; the decay begins after total - decay",
                "decay": "a straight line from the peak to floor times the peak at step = total",
            }[part]
            raise AssertionError(
                f"total {total}, peak {peak}, warm {warm}, decay {decay}, floor {floor}, step {step} ({part}): "
                f"expected {want:.4g}, got {got:.4g}; {hint}"
            )
    return "five schedules at every step, without warm-up, without decay and without a plateau"


def _rate(step, total, peak, warm, decay, floor, wrong=""):
    if step < warm:
        return peak * (step / warm if wrong == "zero" else (step + 1) / (warm + 1))
    if step <= total - decay:
        return peak
    left = (total - step) / decay
    if wrong == "max":
        return peak * max(floor, left)
    if wrong == "absolute":
        return floor + (peak - floor) * left
    return peak * (floor + (1 - floor) * left)


def top_curvature(fn):
    rng = np.random.default_rng(5)
    cases = [
        ("positive and negative ones", [5.0, 1.0, 0.5, -2.0]),
        ("the largest in size is negative", [-10.0, 3.0, 1.0, 0.0]),
        ("all are negative", [-4.0, -2.0, -1.0]),
        ("the same size with both signs", [-3.0, 3.0, 1.0]),
        ("zero is the largest", [-1.0, 0.0, 0.0]),
        ("one number", [-7.0]),
        ("the zero operator", [0.0, 0.0]),
        ("huge", [1e100, -2e99, 1.0]),
        ("thirty of them", [*np.linspace(-1, 0.8, 29), 1.0]),
    ]
    cases += [("the same size with both signs, turned", [-3.0, 3.0, 1.0])] * 4
    # exact, so that no rounding leads a start of (1, 0) or (1, 1) out of its own line
    given = {
        "a diagonal one": np.array([[-1.0, 0.0], [0.0, 3.0]]),
        "the top vector is (1, -1)": np.array([[1.0, -2.0], [-2.0, 1.0]]),
    }
    cases += [(name, [-1.0, 3.0]) for name in given]
    for name, eig in cases:
        n, calls = len(eig), [0]
        q = np.linalg.qr(rng.normal(size=(n, n)))[0]
        a = given.get(name, (q * np.array(eig)) @ q.T)

        def product(v, a=a, calls=calls, n=n):
            v = np.asarray(v, dtype=float)
            assert v.shape == (n,), f"product takes a vector of shape ({n},), got {v.shape}"
            calls[0] += 1
            return a @ v

        with np.errstate(all="ignore"):
            got = float(fn(product, n))
        want, size = max(eig), max(abs(e) for e in eig)
        assert calls[0] <= 2000, f"{name}: {calls[0]} calls of product, 2,000 are allowed"
        if not abs(got - want) <= 1e-3 * size:  # NaN is wrong, too
            hint = "is v of length 1 after every round, and are there rounds enough?"
            if math.isnan(got):
                hint = "a vector of length 0 cannot be divided by its length: stop there"
            elif name in given:
                hint = "a start with nothing of the top vector in it never finds it: start at random"
            elif abs(got - min(eig)) <= 1e-3 * size or abs(got + min(eig)) <= 1e-3 * size:
                hint = "that is the one of largest size (or its size); shift all eigenvalues so that none is negative"
            elif abs(abs(want) - got) <= 1e-3 * size:
                hint = "the sign is lost: use the Rayleigh quotient, not a length"
            raise AssertionError(f"{name}: expected {want:.6g}, got {got:.6g}; {hint}")
    return f"{len(cases)} operators: negative, equal in size, zero, huge, of one number"


def _top(product, n, rounds=900, wrong=""):
    def run(shift):
        v = np.ones(n) if wrong == "ones" else np.random.default_rng(0).normal(size=n)
        v = v / np.linalg.norm(v)
        for _ in range(rounds):
            y = product(v) + shift * v
            size = np.linalg.norm(y)
            if size == 0 and wrong != "zero":
                break
            v = y if wrong == "raw" else y / size
        return (size if wrong == "length" else v @ product(v) / (v @ v)), size

    far, size = run(0.0)
    if wrong in ("plain", "length", "raw"):
        return far
    if wrong == "sometimes" and far > 0:
        return far
    return abs(far) if wrong == "size" else run(size)[0]


def _relu(z):
    return np.maximum(z, 0)


def _gelu(z):
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def weight_std(fn):
    grid = np.linspace(-12, 12, 400_001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    cases = {
        "the identity": lambda z: z,
        "ReLU": _relu,
        "tanh": np.tanh,
        "GELU": _gelu,
        "leaky ReLU 0.2": lambda z: np.where(z > 0, z, 0.2 * z),
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "|z|": np.abs,
    }
    for name, f in cases.items():
        for fan_in in (1, 64, 1000):
            want = 1 / math.sqrt(fan_in * float((f(grid) ** 2 * density).sum()))
            got = float(fn(f, fan_in))
            if math.isclose(got, want, rel_tol=1e-3):
                continue
            hint = "ask for the mean of f(z)² over a standard normal z, by sampling enough or on a grid"
            if fan_in > 1 and math.isclose(got, want * math.sqrt(fan_in), rel_tol=2e-3):
                hint = "a sum of fan_in terms: where is fan_in?"
            mean = float((f(grid) * density).sum())
            spread = float((f(grid) ** 2 * density).sum()) - mean**2
            if math.isclose(got, 1 / math.sqrt(fan_in * spread), rel_tol=2e-3):
                hint = "the weights have mean 0, so the mean square of f counts, not its variance"
            raise AssertionError(f"{name}, fan_in {fan_in}: expected {want:.5f}, got {got:.5f}; {hint}")
    return "seven activations, among them the sigmoid with its large mean, three widths"


def _std(f, fan_in, wrong=""):
    z = np.linspace(-12, 12, 100_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    mean, square = float((f(z) * density).sum()), float((f(z) ** 2 * density).sum())
    if wrong == "variance":
        square -= mean**2
    if wrong == "few":
        square = float((f(np.random.default_rng(0).normal(size=1000)) ** 2).mean())
    return 1 / math.sqrt(square if wrong == "fan" else fan_in * square)


def resting_norm(fn):
    for rate, decay, pull in ((0.1, 0.1, 1.0), (0.5, 0.02, 3.0), (1.0, 0.5, 2.0), (0.01, 1.0, 10.0)):
        r = 1.0
        for _ in range(20_000):
            r = math.hypot((1 - rate * decay) * r, rate * pull / r)
        got = fn(rate, decay, pull)
        if math.isclose(got, r, rel_tol=1e-6):
            continue
        said = f"rate {rate}, decay {decay}, pull {pull}: 20,000 steps end at {r:.6g}, got {got:.6g}; "
        if math.isclose(got, (rate * pull**2 / (2 * decay)) ** 0.25, rel_tol=1e-9):
            raise AssertionError(said + "that is the limit of a small rate times decay: keep (1 - ηλ)² whole")
        if math.isclose(got**0.5, r, rel_tol=1e-6):
            raise AssertionError(said + "that is the square of the length: which power of r stands in the equation?")
        raise AssertionError(said + "the step is at a right angle to w: what does Pythagoras say about the new length?")
    assert fn(0.1, 0.0, 1.0) == math.inf, "without decay every step lengthens w: there is no rest"
    return "four settings against 20,000 simulated steps, and no decay"


WRONG = {
    "wsd_rate": {
        "warm-up from zero": lambda *a: _rate(*a, wrong="zero"),
        "cut off at the floor": lambda *a: _rate(*a, wrong="max"),
        "an absolute floor": lambda *a: _rate(*a, wrong="absolute"),
    },
    "top_curvature": {
        "plain power iteration": lambda product, n: _top(product, n, wrong="plain"),
        "its size": lambda product, n: _top(product, n, wrong="size"),
        "the length in place of the quotient": lambda product, n: _top(product, n, wrong="length"),
        "never normalised": lambda product, n: _top(product, n, wrong="raw"),
        "starts at ones": lambda product, n: _top(product, n, wrong="ones"),
        "divides by a length of zero": lambda product, n: _top(product, n, wrong="zero"),
        "shifts only after a negative one": lambda product, n: _top(product, n, wrong="sometimes"),
        "five rounds": lambda product, n: _top(product, n, rounds=5),
    },
    "weight_std": {
        "Kaiming for all": lambda f, fan_in: math.sqrt(2 / fan_in),
        "the variance of f": lambda f, fan_in: _std(f, fan_in, "variance"),
        "no fan_in": lambda f, fan_in: _std(f, fan_in, "fan"),
        "a thousand samples": lambda f, fan_in: _std(f, fan_in, "few"),
    },
    "resting_norm": {
        "small rates only": lambda rate, decay, pull: (rate * pull**2 / (2 * decay)) ** 0.25 if decay else math.inf,
        "the square": lambda rate, decay, pull: (
            (rate * pull**2 / (decay * (2 - rate * decay))) ** 0.5 if decay else math.inf
        ),
        "gradient along w": lambda rate, decay, pull: math.sqrt(pull / decay) if decay else math.inf,
    },
}
