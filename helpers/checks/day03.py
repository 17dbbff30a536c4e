"""Hidden checks of day 03; each takes the learner's function and asserts in words."""

import math

import numpy as np


def back_substitution(fn):
    rng = np.random.default_rng(0)
    for n, k in [(1, None), (2, None), (3, None), (7, None), (5, 1), (6, 4), (1, 3)]:
        up = np.triu(rng.standard_normal((n, n))) + 3 * np.eye(n)
        x = rng.standard_normal(n if k is None else (n, k))
        b = up @ x
        given = b.copy()
        got = fn(up, b)
        assert np.array_equal(b, given), "b itself was changed: work on a copy"
        assert np.shape(got) == x.shape, f"for b of shape {x.shape} return that shape, got {np.shape(got)}"
        assert np.allclose(got, x, atol=1e-10), f"wrong for n = {n}: which unknown is known first, and which last?"
    garbage = np.array([[2.0, 1.0, 0.0], [9.0, 4.0, 1.0], [9.0, 9.0, 5.0]])
    got = fn(garbage, np.array([3.0, 5.0, 5.0]))
    assert np.allclose(got, [1, 1, 1]), "entries below the diagonal must not be read: LU stores its multipliers there"
    try:
        got = fn(np.array([[1e-20, 1.0], [0.0, 1.0]]), np.array([2.0, 1.0]))
    except ValueError:
        raise AssertionError("1e-20 on the diagonal is small, not zero: only a zero makes it singular") from None
    assert np.allclose(got, [1e20, 1]), "1e-20 on the diagonal is small, not zero: divide by it"
    got = fn(np.array([[2, 1], [0, 4]]), np.array([3, 2]))
    assert np.allclose(got, [1.25, 0.5]), "whole numbers in, [1.25, 0.5] out: is the solution kept in b's integer type?"
    for spot in range(3):
        up = np.eye(3)
        up[spot, spot] = 0
        try:
            got = fn(up, np.ones(3))
        except ValueError:
            continue
        raise AssertionError(f"a zero in place {spot} of the diagonal must raise ValueError; yours returned {got}")
    return "vectors, blocks of columns, whole numbers, garbage below, tiny and zero diagonals"


def reflector(fn):
    rng = np.random.default_rng(0)
    vectors = [rng.standard_normal(n) for n in (1, 2, 3, 8)] + [
        np.array([1.0, 1e-9]),
        np.array([-1.0, 1e-9]),
        np.array([0.0, 3.0, 4.0]),
        np.array([5.0, 0.0]),
        np.array([-2.0]),
    ]
    for x in vectors:
        v = np.asarray(fn(x.copy()))
        assert v.shape == x.shape, f"return a vector of shape {x.shape}, got {v.shape}"
        assert np.isfinite(v).all(), f"x = {x}: not a number came out; is a length of zero divided by?"
        assert abs(np.linalg.norm(v) - 1) < 1e-12, f"x = {x}: v should have length 1, has {np.linalg.norm(v):.3g}"
        image = x - 2 * v * (v @ x)
        rest = np.linalg.norm(image[1:]) / np.linalg.norm(x)
        assert rest < 1e-14, f"x = {x}: beside the first place {rest:.0e} of the length is left; is a digit cancelled?"
    zero = np.asarray(fn(np.zeros(3)))
    assert np.array_equal(zero, np.zeros(3)), f"for the zero vector return zeros, got {zero}"
    return "nine vectors, near the axis and on it, and zero"


def solve_complete(fn):
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 5, 12):
        for _ in range(5):
            a, x = rng.standard_normal((n, n)) + np.eye(n), rng.standard_normal(n)
            got = np.asarray(fn(a.copy(), a @ x))
            assert got.shape == (n,), f"return shape {(n,)}, got {got.shape}"
            if not np.allclose(got, x, atol=1e-7):
                scrambled = np.allclose(np.sort(got), np.sort(x), atol=1e-7)
                raise AssertionError(
                    "the right numbers in the wrong order: exchanging columns renames unknowns"
                    if scrambled
                    else f"wrong on a random {n} × {n} system"
                )
    tiny = np.array([[1e-20, 1.0], [1.0, 1.0]])
    assert np.allclose(fn(tiny, np.array([1.0, 2.0])), [1, 1]), "the system of the opening still gives x = 0"
    signs = np.array([[1e-20, -1.0], [-1.0, -1.0]])
    assert np.allclose(fn(signs, np.array([-1.0, -2.0])), [1, 1]), (
        "largest means largest in size: -1 is larger than 1e-20"
    )
    n = 60
    a = np.eye(n) - np.tril(np.ones((n, n)), -1)
    a[:, -1] = 1
    x = rng.standard_normal(n)
    off = np.linalg.norm(fn(a.copy(), a @ x) - x) / np.linalg.norm(x)
    assert off < 1e-12, f"on Wilkinson's matrix the error is {off:.0e}: search the whole block, not one column"
    return "25 random systems, a tiny pivot, and Wilkinson's matrix to twelve digits"


def refine(fn):
    rng = np.random.default_rng(0)
    for n, kappa, steps in [(5, 1e1, 4), (20, 1e4, 8), (12, 1e3, 6)]:
        q1, q2 = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
        a = q1 * np.logspace(0, -math.log10(kappa), n) @ q2
        x = rng.standard_normal(n)
        inverse = np.linalg.inv(a).astype(np.float32)

        def rough(r, inverse=inverse):
            return inverse @ np.asarray(r, dtype=np.float32)

        first = np.linalg.norm(rough(a @ x) - x) / np.linalg.norm(x)
        got = np.asarray(fn(a, a @ x, rough, steps))
        assert got.dtype == np.float64, f"return float64, got {got.dtype}"
        off = np.linalg.norm(got - x) / np.linalg.norm(x)
        assert off < first / 10, f"κ = {kappa:.0e}: the error {off:.0e} is no better than without refining, {first:.0e}"
        assert off < 50 * kappa * 1.1e-16, (
            f"κ = {kappa:.0e}: stuck at {off:.0e}; is the residual, or the sum, kept in float32?"
        )
        plain = np.asarray(fn(a, a @ x, rough, 0))
        assert np.allclose(plain, rough(a @ x)), "with 0 steps the rough solution itself is the answer"
        once, start = np.asarray(fn(a, a @ x, rough, 1)), rough(a @ x).astype(np.float64)
        step = rough(a @ x - a @ start)
        assert np.linalg.norm(once - start - step) <= 1e-3 * np.linalg.norm(step), "steps counts corrections: 1 is one"
    return "three systems to the accuracy of float64"


def _unchecked_back(up, b):
    x = np.array(b, dtype=float)
    for i in reversed(range(len(x))):
        x[i] = (x[i] - up[i, i + 1 :] @ x[i + 1 :]) / up[i, i]
    return x


def _reads_garbage(up, b):
    if (np.diag(up) == 0).any():
        raise ValueError
    return np.linalg.solve(up, b)


def _from_the_top(up, b):
    x = np.array(b, dtype=float)
    for i in range(len(x)):
        x[i] = (x[i] - up[i, :i] @ x[:i]) / up[i, i]
    return x


def _keeps_integers(up, b):
    if (np.diag(up) == 0).any():
        raise ValueError
    x = np.array(b)
    for i in reversed(range(len(x))):
        x[i] = (x[i] - up[i, i + 1 :] @ x[i + 1 :]) / up[i, i]
    return x


def _tiny_is_zero(up, b):
    if (np.abs(np.diag(up)) < 1e-12).any():
        raise ValueError
    return _unchecked_back(up, b)


def _mirror(x, sign):
    v = np.array(x, dtype=float)
    v[0] += sign(v) * np.linalg.norm(v)
    length = np.linalg.norm(v)
    return v / length if length > 0 else v


def _other_mirror(x):
    return _mirror(x, lambda v: -math.copysign(1, v[0]))


def _sign_of_zero(x):
    return _mirror(x, lambda v: np.sign(v[0]))


def _eliminate(a, b, complete, rename, size=np.abs):
    a, b = np.array(a, dtype=float), np.array(b, dtype=float)
    n, names = len(b), np.arange(len(b))
    for k in range(n):
        block = size(a[k:, k:] if complete else a[k:, k : k + 1])
        i, j = np.unravel_index(block.argmax(), block.shape)
        a[[k, k + i]], b[[k, k + i]] = a[[k + i, k]], b[[k + i, k]]
        a[:, [k, k + j]] = a[:, [k + j, k]]
        names[[k, k + j]] = names[[k + j, k]]
        m = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k:] -= np.outer(m, a[k, k:])
        b[k + 1 :] -= m * b[k]
    x = _unchecked_back(a, b)
    out = np.zeros(n)
    out[names if rename else np.arange(n)] = x
    return out


def _partial(a, b):
    return _eliminate(a, b, complete=False, rename=True)


def _never_renames(a, b):
    return _eliminate(a, b, complete=True, rename=False)


def _largest_with_sign(a, b):
    return _eliminate(a, b, complete=True, rename=True, size=np.array)


def _residual_in_float32(a, b, rough, steps):
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    x = np.array(rough(b), dtype=np.float64)
    for _ in range(steps):
        x = x + rough(b32 - a32 @ x.astype(np.float32))
    return x


def _sum_in_float32(a, b, rough, steps):
    x = rough(b)
    for _ in range(steps):
        x = (x + rough(b - a @ x)).astype(np.float32)
    return x.astype(np.float64)


def _replaces(a, b, rough, steps):
    x = np.array(rough(b), dtype=np.float64)
    for _ in range(steps):
        x = np.array(rough(b - a @ x), dtype=np.float64)
    return x


def _one_step_short(a, b, rough, steps):
    x = np.array(rough(b), dtype=np.float64)
    for _ in range(steps - 1):
        x = x + rough(b - a @ x)
    return x


WRONG = {
    "back_substitution": {
        "divides by zero": _unchecked_back,
        "reads below the diagonal": _reads_garbage,
        "from the top": _from_the_top,
        "keeps the integers of b": _keeps_integers,
        "takes a tiny diagonal for zero": _tiny_is_zero,
    },
    "reflector": {"the mirror that cancels": _other_mirror, "sign of zero is zero": _sign_of_zero},
    "solve_complete": {
        "rows only": _partial,
        "forgets to rename": _never_renames,
        "largest with its sign": _largest_with_sign,
    },
    "refine": {
        "residual in float32": _residual_in_float32,
        "sum in float32": _sum_in_float32,
        "replaces instead of adding": _replaces,
        "one step short": _one_step_short,
    },
}
