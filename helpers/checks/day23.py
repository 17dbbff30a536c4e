"""Checks of day 23: counting traces, weights from Keras to PyTorch, two Adams, a tracer. None needs TensorFlow."""

import random

import numpy as np
import torch


def _kind(value):
    if isinstance(value, np.ndarray | np.generic):
        return ("tensor", value.dtype.str, value.shape)
    return ("value", value)


def traces(fn):
    rng, tried = random.Random(23), 0
    cases = [
        ([], "no call, no trace"),
        ([1, 2, 3, 2, 1], "a Python number is part of the record: one trace for each value, not for each call"),
        ([1, 1.0, True], "1 == 1.0 == True in Python: what did the lesson's cell print for these three?"),
        ([0, False, 0.0, -0.0], "equal Python values share a trace, whatever their type"),
        ([np.float32(1), np.float32(2)], "a NumPy scalar becomes a tensor: its value is not part of the record"),
        ([np.ones(3), np.zeros(3)], "two arrays of one type and shape are one kind"),
        ([np.ones(3), np.ones(4)], "another shape is another kind"),
        ([np.ones((2, 3)), np.ones((3, 2)), np.ones(6)], "the whole shape counts"),
        ([np.ones(3), np.ones(3, np.float32), np.ones(3, np.int64)], "the element type counts"),
        ([2.0, np.float64(2.0)], "a Python number and a tensor are different kinds, equal or not"),
    ]
    pool = [1, 1.0, True, 2, 0.5, np.float32(1), np.int64(1), np.ones(2), np.zeros(2), np.ones((2, 1)), np.ones(2, "f")]
    for _ in range(60):
        some = [rng.choice(pool) for _ in range(rng.randint(1, 12))]
        cases.append((some, "collect the kinds: value of a number, type and shape of a tensor"))
    for calls, hint in cases:
        got, want = fn(list(calls)), len({_kind(v) for v in calls})
        shown = [v if not isinstance(v, np.ndarray) else f"{v.dtype}{list(v.shape)}" for v in calls[:6]]
        assert got == want, f"calls {shown}: {got} traces, TensorFlow makes {want}: {hint}"
        tried += 1
    return f"{tried} lists of calls"


def _forward(arrays, x):
    """Day 22's network in NumPy, channels last: x (batch, 8, 8, 1) to logits."""
    kernel1, bias1, gamma, beta, mean, var, kernel2, bias2, matrix, bias3 = arrays

    def convolve(h, kernel, bias):
        wide = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = sum(wide[:, i : i + h.shape[1], j : j + h.shape[2]] @ kernel[i, j] for i in range(3) for j in range(3))
        return out + bias

    def halve(h):
        b, high, wide, c = h.shape
        return h.reshape(b, high // 2, 2, wide // 2, 2, c).mean((2, 4))

    h = convolve(x, kernel1, bias1)
    h = halve(np.maximum((h - mean) / np.sqrt(var + 1e-5) * gamma + beta, 0))
    h = halve(np.maximum(convolve(h, kernel2, bias2), 0))
    return h.reshape(len(x), -1) @ matrix + bias3


def to_torch(fn):
    from helpers.taught.day22 import build

    rng, tried = np.random.default_rng(23), 0
    for width in (16, 3, 5):
        shapes = [(3, 3, 1, width), (width,), (width,), (width,), (width,), (width,)]
        shapes += [(3, 3, width, 2 * width), (2 * width,), (8 * width, 10), (10,)]
        arrays = [rng.normal(size=s).astype(np.float32) for s in shapes]
        arrays[5] = np.abs(arrays[5]) + 0.1
        keep = [a.copy() for a in arrays]
        state = fn(list(arrays), width)
        assert isinstance(state, dict), f"return a dictionary, yours is a {type(state).__name__}"
        bad = [k for k, v in state.items() if not isinstance(v, torch.Tensor)]
        assert not bad, f"{bad[0]} is no tensor: load_state_dict wants tensors"
        net = build("cnn", width=width).eval()
        want_names, names = set(net.state_dict()), set(state)
        assert names == want_names, (
            f"names differ: missing {want_names - names or '-'}, extra {names - want_names or '-'}"
        )
        for name, value in net.state_dict().items():
            assert state[name].shape == value.shape, (
                f"{name}: shape {tuple(state[name].shape)}, PyTorch wants {tuple(value.shape)}"
            )
        net.load_state_dict(state)
        x = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
        with torch.no_grad():
            got = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
        want = _forward(arrays, x)
        gap = np.abs(got - want).max() / np.abs(want).max()
        hint = "which of four vectors is which, how do height and width stand in a kernel, and in which order does "
        hint += "each library flatten a map?"
        told = f"differ by {gap:.0%} of their size" if gap == gap else "are no numbers (the root of a negative one?)"
        assert gap < 1e-4, f"width {width}: every shape fits, the logits {told}: {hint}"
        assert all(np.array_equal(a, b) for a, b in zip(arrays, keep, strict=True)), "leave the arrays unchanged"
        for value in state.values():
            value += 1
        assert all(np.array_equal(a, b) for a, b in zip(arrays, keep, strict=True)), (
            "the tensors share memory with Keras' arrays: copy"
        )
        tried += 1
    return f"{tried} widths, random weights, the same logits"


def adam_step(fn):
    rng = np.random.default_rng(23)
    for scale in (1.0, 1e-6, 1e-9):
        for eps in (1e-8, 1e-7, 1e-3):
            w = {kind: np.zeros(3) for kind in ("torch", "keras")}
            state = {kind: (np.zeros(3), np.zeros(3)) for kind in w}
            m, v = np.zeros(3), np.zeros(3)
            truth = {kind: np.zeros(3) for kind in w}
            for t in range(1, 8):
                g = scale * rng.normal(size=3) if t != 4 else np.zeros(3)
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                one, two = 1 - 0.9**t, 1 - 0.999**t
                truth["torch"] = truth["torch"] - 0.1 * (m / one) / (np.sqrt(v / two) + eps)
                truth["keras"] = truth["keras"] - 0.1 * np.sqrt(two) / one * m / (np.sqrt(v) + eps)
                for kind in w:
                    got = fn(w[kind], g, *state[kind], t, 0.1, eps, kind)
                    assert isinstance(got, tuple) and len(got) == 3, "return the new w, m and v"
                    w[kind], state[kind] = got[0], got[1:]
                    here = f"{kind}, slopes of {scale:.0e}, eps {eps:.0e}, step {t}"
                    assert np.allclose(state[kind], (m, v), rtol=1e-9, atol=0), (
                        f"{here}: m or v differs; they are the same running means in both, before any correction"
                    )
                    hint = "is eps inside the root, is the mean corrected, and what does Keras' eps act like at step t?"
                    assert np.allclose(w[kind], truth[kind], rtol=1e-7, atol=1e-14), f"{here}: w is wrong: {hint}"
    return "9 settings × 7 steps × 2 kinds, a zero slope among them"


def traced(fn):
    ran = []

    def body(x):
        ran.append("Python")
        return 3 * x - x * x + (1 - x) * 2

    graph = fn(body)
    assert callable(graph), "traced(fn) returns a function"
    rng = np.random.default_rng(23)
    for i in range(4):
        x = rng.normal(size=3)
        got = graph(x)
        want = 3 * x - x * x + (1 - x) * 2
        hint = "the record must run on the array of *this* call" if i else "mind the order in 1 - x and x - 1"
        assert np.allclose(got, want), f"call {i + 1} on an array gives {got}, not {want}: {hint}"
    assert len(ran) == 1, f"four arrays of one kind: fn ran {len(ran)} times, once was enough"
    graph(np.ones((2, 2)))
    graph(np.ones(3, np.float32))
    assert len(ran) == 3, f"a new shape and a new dtype are two new kinds: fn ran {len(ran)} times in all, not 3"
    graph(np.zeros(3))
    assert len(ran) == 3, "an old kind came back: its record was gone"
    for value in (2, 5.0, 3, 2, 5.0):
        got, want = graph(value), 3 * value - value * value + (1 - value) * 2
        assert got == want, f"on the number {value}: {got}, not {want}: each value has a record of its own"
    assert len(ran) == 6, f"three values, two of them called twice: fn ran {len(ran) - 3} times for them, not 3"
    frozen = iter(range(100))

    def noisy(x):
        return x * 0 + next(frozen)

    noise = fn(noisy)
    told = [float(noise(np.ones(1))[0]) for _ in range(3)]
    assert told == [0.0, 0.0, 0.0], f"what Python drew while tracing is a constant of the record; yours gave {told}"
    same, seven = fn(lambda x: x), fn(lambda x: 7)
    a = np.arange(3.0)
    assert np.array_equal(same(a), a) and np.array_equal(same(2 * a), 2 * a), "fn may return its argument"
    assert seven(a) == 7, "fn may return a plain number"
    two, three = fn(lambda x: x + x), fn(lambda x: x * x * x)
    assert np.array_equal(two(a), 2 * a) and np.array_equal(three(a), a**3), "two functions mixed their records"
    assert np.array_equal(two(a), 2 * a), "two functions mixed their records"

    def branch(x):
        return x if x > 0 else -x

    try:
        fn(branch)(np.array(-3.0))
    except TypeError:
        pass
    else:
        raise AssertionError("`if x > 0` on a symbol must fail with a TypeError: there is no value yet to branch on")
    return "arrays, numbers, kinds, frozen noise, a refused branch"


def _traces_by_call(calls):
    return len(calls)


def _traces_typed(calls):
    return len({_kind(v) if isinstance(v, np.ndarray | np.generic) else (type(v), v) for v in calls})


def _traces_types_only(calls):
    return len({_kind(v) if isinstance(v, np.ndarray | np.generic) else type(v) for v in calls})


def _traces_array_values(calls):
    return len({(str(v), getattr(v, "dtype", 0), getattr(v, "shape", None)) for v in calls})


def _traces_no_dtype(calls):
    return len({_kind(v)[::2] if isinstance(v, np.ndarray | np.generic) else _kind(v) for v in calls})


def _traces_rank(calls):
    return len({(v.dtype.str, v.ndim) if isinstance(v, np.ndarray | np.generic) else _kind(v) for v in calls})


NAMES = ["conv1.weight", "conv1.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
NAMES += ["conv2.weight", "conv2.bias", "head.weight", "head.bias"]


def _home(arrays, width, kernel=(3, 2, 0, 1), reorder=True, order=None, axes=(0, 3, 1, 2)):
    arrays = [arrays[i] for i in order] if order else arrays
    w = {name: torch.tensor(np.array(a)) for name, a in zip(NAMES, arrays, strict=True)}
    for name in ("conv1.weight", "conv2.weight"):
        w[name] = w[name].permute(*kernel).contiguous()
    w["head.weight"] = w["head.weight"].T.contiguous()
    if reorder:
        w["head.weight"] = w["head.weight"].reshape(10, 2, 2, 2 * width).permute(*axes).reshape(10, -1)
    w["norm.num_batches_tracked"] = torch.tensor(0)
    return w


def _home_columns(arrays, width=16):
    return _home(arrays, width, reorder=False)


def _home_turned(arrays, width=16):
    return _home(arrays, width, kernel=(3, 2, 1, 0))


def _home_means(arrays, width=16):
    return _home(arrays, width, order=[0, 1, 2, 3, 5, 4, 6, 7, 8, 9])


def _home_gamma(arrays, width=16):
    return _home(arrays, width, order=[0, 1, 3, 2, 4, 5, 6, 7, 8, 9])


def _home_plane(arrays, width=16):
    return _home(arrays, width, axes=(0, 3, 2, 1))


def _home_kernels(arrays, width=16):
    return _home(arrays, width, kernel=(0, 1, 2, 3))


def _home_views(arrays, width=16):
    w = _home(arrays, width)
    w["conv2.weight"] = torch.from_numpy(arrays[6]).permute(3, 2, 0, 1)
    return w


def _home_shared(arrays, width=16):
    w = _home(arrays, width)
    w["conv1.bias"] = torch.from_numpy(arrays[1])
    return w


def _adam_same(w, g, m, v, t, rate=1e-3, eps=1e-8, kind="torch"):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps), m, v


def _adam_swapped(w, g, m, v, t, rate=1e-3, eps=1e-8, kind="torch"):
    return _adam_eps(w, g, m, v, t, rate, eps / (1 - 0.999**t) ** (0.5 if kind == "torch" else 0))


def _adam_eps(w, g, m, v, t, rate, eps):
    return _adam_same(w, g, m, v, t, rate, eps)


def _adam_inside(w, g, m, v, t, rate=1e-3, eps=1e-8, kind="torch"):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    one, two = 1 - 0.9**t, 1 - 0.999**t
    eps = eps / two**0.5 if kind == "keras" else eps
    return w - rate * (m / one) / np.sqrt(v / two + eps), m, v


def _adam_no_root(w, g, m, v, t, rate=1e-3, eps=1e-8, kind="torch"):
    return _adam_eps(w, g, m, v, t, rate, eps / (1 - 0.999**t) if kind == "keras" else eps)


def _adam_corrected_state(w, g, m, v, t, rate=1e-3, eps=1e-8, kind="torch"):
    m, v = (0.9 * m + 0.1 * g) / (1 - 0.9**t), (0.999 * v + 0.001 * g * g) / (1 - 0.999**t)
    eps = eps / (1 - 0.999**t) ** 0.5 if kind == "keras" else eps
    return w - rate * m / (np.sqrt(v) + eps), m, v


def _traced_never(fn):
    return lambda x: fn(x)


def _traced_answer(fn):
    kept = {}

    def wrapper(x):
        kind = (x.dtype.str, x.shape) if isinstance(x, np.ndarray) else x
        if kind not in kept:
            kept[kind] = fn(x)
        return kept[kind]

    return wrapper


def _tracer(fn, kind_of, reverse=True, refuse=True, number=lambda x: x):
    class Symbol:
        __array_ufunc__ = None

        def __init__(self, run):
            self.run = run

        def __gt__(self, other):
            return True if not refuse else Symbol(lambda x: self.run(x) > other)

        def __bool__(self):
            raise TypeError("no value")

    def run(part, x):
        return part.run(x) if isinstance(part, Symbol) else part

    for name, op in {"add": np.add, "sub": np.subtract, "mul": np.multiply}.items():

        def left(a, b, op=op):
            return Symbol(lambda x: op(a.run(x), run(b, x)))

        def right(a, b, op=op):
            return Symbol(lambda x: op(run(b, x), a.run(x)))

        setattr(Symbol, f"__{name}__", left)
        setattr(Symbol, f"__r{name}__", right if reverse else left)
    graphs = {}

    def wrapper(x):
        tensor = isinstance(x, np.ndarray)
        kind = kind_of(x) if tensor else number(x)
        if kind not in graphs:
            graphs[kind] = fn(Symbol(lambda x: x) if tensor else x)
        return run(graphs[kind], x)

    return wrapper


def _traced_one_record(fn):
    return _tracer(fn, lambda x: "array")


def _traced_no_dtype(fn):
    return _tracer(fn, lambda x: x.shape)


def _traced_swapped(fn):
    return _tracer(fn, lambda x: (x.dtype.str, x.shape), reverse=False)


def _traced_one_branch(fn):
    return _tracer(fn, lambda x: (x.dtype.str, x.shape), refuse=False)


def _traced_by_type(fn):
    return _tracer(fn, lambda x: (x.dtype.str, x.shape), number=type)


WRONG = {
    "traces": {
        "one trace a call": _traces_by_call,
        "1 and 1.0 apart": _traces_typed,
        "numbers by type only": _traces_types_only,
        "arrays by value": _traces_array_values,
        "ignores the dtype": _traces_no_dtype,
        "rank in place of shape": _traces_rank,
    },
    "to_torch": {
        "columns not reordered": _home_columns,
        "height and width swapped": _home_turned,
        "mean and variance swapped": _home_means,
        "gamma and beta swapped": _home_gamma,
        "map turned while reordering": _home_plane,
        "kernels as they are": _home_kernels,
        "shares Keras' memory": _home_shared,
        "a kernel is a view of Keras' memory": _home_views,
    },
    "adam_step": {
        "the same for both": _adam_same,
        "the root at the wrong library": _adam_swapped,
        "eps inside the root": _adam_inside,
        "divides by the square": _adam_no_root,
        "returns corrected means": _adam_corrected_state,
    },
    "traced": {
        "calls fn every time": _traced_never,
        "keeps the first answer": _traced_answer,
        "one record for all arrays": _traced_one_record,
        "ignores the dtype": _traced_no_dtype,
        "1 - x recorded as x - 1": _traced_swapped,
        "takes one branch in silence": _traced_one_branch,
        "one record for all ints": _traced_by_type,
    },
}
