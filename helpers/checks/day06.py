"""Checks of day 06: the sweep on a tape, the pull-back of layer norm, a checkpointed function."""

import gc
import weakref

import numpy as np

PAPER = [[(0, 3.0), (1, 2.0)], [(2, 1.0), (0, 1.0)], [(2, 8.0), (3, 6.0)]]


class _AgainAndAgain(Exception):
    pass


class _Row(list):
    """A row of a tape that stops whoever reads it a fourth time."""

    def __iter__(self):
        self.read = getattr(self, "read", 0) + 1
        if self.read > 3:
            raise _AgainAndAgain
        return super().__iter__()


def reverse_sweep(fn):
    got = fn([list(row) for row in PAPER], 2)
    assert got is not None, "nothing was returned: return the list of the n slopes"
    assert len(got) == 2, f"the tape of the text has n = 2 inputs, so return 2 slopes, got {len(got)}"
    a, b = (float(x) for x in got)
    said = f"the tape of the text should give [48, 28], got [{a:g}, {b:g}]: "
    assert min(a, b) > 0, said + "a slope is passed on before it is known; users stand later on a tape: where to begin?"
    assert (a, b) != (18, 12), said + "u has two users, a three paths; a later report must not replace an earlier one"
    assert (a, b) == (48, 28), said + "only the last value starts with slope 1, and reports add up"
    square = float(fn([[(0, 3.0), (0, 3.0)]], 1)[0])
    assert square == 6, f"x·x at x = 3 is one row with the same operand twice; its slope is 6, got {square:g}"
    unused = [float(x) for x in fn([[(1, 5.0)]], 3)]
    assert unused == [0, 5, 0], f"inputs that nobody uses have slope 0: expected [0, 5, 0], got {unused}"
    dead = float(fn([[(0, 2.0)], [(0, 7.0)]], 1)[0])
    assert dead == 7, f"only the LAST value is differentiated; a value it does not use must not count: 7, got {dead:g}"
    tape = [_Row([(k, 1.0), (k, 1.0)]) for k in range(60)]
    try:
        deep = float(fn(tape, 1)[0])
    except _AgainAndAgain:
        deep = None
    assert deep is not None, (
        "one row was read again and again: you walk every path, and sixty doublings have 2^60 of them; "
        "wait until a value's slope is complete, then pass it on once"
    )
    assert deep == 2.0**60, f"sixty doublings have slope 2^60, got {deep:g}"
    long = [[(k, 1.0)] for k in range(5000)]
    assert float(fn(long, 1)[0]) == 1.0, "a chain of 5,000 rows of slope 1 has slope 1"
    rng = np.random.default_rng(0)
    for n, rows in ((1, 1), (3, 8), (5, 40)):
        tape = [[(int(rng.integers(n + k)), float(rng.normal())) for _ in range(rng.integers(0, 4))]
                for k in range(rows)]  # fmt: skip
        want = _forward(tape, n)
        got = [float(x) for x in fn(tape, n)]
        assert np.allclose(got, want, rtol=1e-9, atol=1e-12), (
            f"a random tape with {n} inputs and {rows} rows differs from forward mode: {got[:3]}, expected {want[:3]}"
        )
    return "the example, repeated, unused and dead values, 2^60 paths, 5,000 rows and three random tapes"


def _forward(tape, n):
    slopes = np.eye(n)  # (values, inputs): each value's slope by every input
    for row in tape:
        new = sum((local * slopes[i] for i, local in row), np.zeros(n))
        slopes = np.vstack([slopes, new])
    return slopes[-1].tolist()


def _pull_forgetting(up, x, eps, mean):
    """Layer norm's pull-back with the spread, and perhaps the mean, taken as constants."""
    centred = x - x.mean(-1, keepdims=True)
    sigma = np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return (up if mean else up - up.mean(-1, keepdims=True)) / sigma


def layer_norm_pull(fn):
    import torch

    rng = np.random.default_rng(1)
    for shape, eps in (((4,), 1e-5), ((3, 5), 1e-5), ((2, 3, 8), 0.1), ((2, 1), 1e-5)):
        x, up = rng.normal(2.0, 3.0, shape), rng.normal(size=shape)
        t = torch.tensor(x, requires_grad=True)
        torch.nn.functional.layer_norm(t, shape[-1:], eps=eps).backward(torch.tensor(up))
        want, got = t.grad.numpy(), fn(up.copy(), x.copy(), eps)
        assert isinstance(got, np.ndarray) and got.shape == shape, (
            f"return an array of x's shape {shape}, got {getattr(got, 'shape', type(got).__name__)}"
        )
        if np.allclose(got, want, rtol=1e-8, atol=1e-10):
            continue
        for words, tempting in WRONG["layer_norm_pull"].items():
            if np.allclose(got, tempting(up, x, eps), rtol=1e-8, atol=1e-10):
                raise AssertionError(f"right shape, right size, wrong slope for x of shape {shape}: {words}")
        raise AssertionError(
            f"for x of shape {shape} and eps = {eps} the largest difference from PyTorch is "
            f"{np.abs(got - want).max():.1g}; write dy in full, with dμ and dσ"
        )
    flat = fn(np.array([1.0, 2.0, 6.0]), np.full(3, 4.0), 1e-5)
    assert np.isfinite(flat).all(), "a row of equal numbers has spread 0: eps belongs inside the root"
    return "four shapes with two values of eps, and a row without spread"


def checkpointed(fn):
    names = ("Tensor", "backward", "tanh", "matmul", "total")
    own = all(name in fn.__globals__ for name in names)
    space = fn.__globals__ if own else vars(_engine())  # the learner's own classes, where the cells above were run
    Tensor, backward, tanh, matmul, total = (space[name] for name in names)
    rng = np.random.default_rng(2)
    inside = []

    def block(x, w):
        h = matmul(x, w)
        inside.append(weakref.ref(h))
        h = tanh(h)
        inside.append(weakref.ref(h))
        return h * x

    start = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    up = rng.normal(size=(4, 3))
    x, w = Tensor(start[0]), Tensor(start[1])
    backward(block(x, w), up)
    want = x.grad, w.grad
    x, w = Tensor(start[0]), Tensor(start[1])
    out = fn(block, x, w)
    assert isinstance(out, Tensor), f"return a Tensor, got {type(out).__name__}"
    assert np.allclose(out.value, block(Tensor(start[0]), Tensor(start[1])).value), "the value differs from fn(*inputs)"
    inside.clear()
    out = fn(block, x, w)
    gc.collect()
    alive = sum(ref() is not None for ref in inside)
    assert inside and alive == 0, (
        f"{alive} of the {len(inside)} values inside fn are still alive after the forward pass: the graph holds them, "
        "so no memory is saved; run fn on inputs that do not learn"
    )
    assert out.edges, "no edge leads back to the inputs, so they would get no slope"
    assert x.grad is None and w.grad is None, "the forward pass already touched an input's grad"
    backward(total(out * up))
    ones = Tensor(start[0]), Tensor(start[1])
    backward(block(*ones))
    for name, t, g, plain in zip(("first", "second"), (x, w), want, ones, strict=True):
        assert t.grad is not None, f"the {name} input got no slope: every input that learns needs an edge"
        if np.allclose(t.grad, plain.grad) and not np.allclose(g, plain.grad):
            raise AssertionError("your inner sweep starts from ones; start it from the slope that comes from above")
        times = t.grad.flat[0] / g.flat[0]
        assert not (times > 1.5 and np.allclose(t.grad, times * g)), (
            f"the {name} input's slope is {times:.0f} times too large: the inner sweep writes into the input itself "
            "and the outer one adds to that; rerun fn on fresh leaves"
        )
        assert np.allclose(t.grad, g, rtol=1e-10), f"the {name} input's slope is wrong"
    x, w = Tensor(start[0]), Tensor(start[1])
    out = fn(block, x, w)
    backward(out, up)
    backward(out, -3.0 * up)
    assert np.allclose(x.grad, -2.0 * want[0]) and np.allclose(w.grad, -2.0 * want[1]), (
        "two sweeps through one checkpoint, the second with another slope from above, give the wrong sum: what a rerun "
        "found belongs to the slope it was asked with"
    )
    x, c = Tensor(start[0]), Tensor(start[1], learns=False)
    backward(fn(block, x, c), up)
    assert np.allclose(x.grad, want[0]) and c.grad is None, "a constant input learns nothing, the other one as before"
    x = Tensor(np.array([0.5, -1.0]))
    backward(fn(lambda p, q: p * q, x, x))
    assert np.allclose(x.grad, 2 * x.value), "checkpointed(fn, x, x): both uses of x count"
    y = fn(lambda t: tanh(t), fn(lambda t: t * t, x))
    x.grad = None
    backward(y)
    assert np.allclose(x.grad, 2 * x.value * (1 - np.tanh(x.value**2) ** 2)), "one checkpoint after another goes wrong"
    return "value, slopes, freed memory, constants, one input twice, two in a row"


def _replaces(tape, n):
    slopes = [0.0] * (n + len(tape))
    slopes[-1] = 1.0
    for k in reversed(range(len(tape))):
        for operand, local in tape[k]:
            slopes[operand] = local * slopes[n + k]
    return slopes[:n]


def _walks_paths(tape, n):
    slopes = [0.0] * n

    def walk(value, up):
        if value < n:
            slopes[value] += up
        else:
            for operand, local in tape[value - n]:
                walk(operand, up * local)

    walk(n + len(tape) - 1, 1.0)
    return slopes


def _reads_forwards(tape, n):
    slopes = [0.0] * (n + len(tape))
    slopes[-1] = 1.0
    for k in range(len(tape)):
        for operand, local in tape[k]:
            slopes[operand] += local * slopes[n + k]
    return slopes[:n]


def _every_value_counts(tape, n):
    slopes = [0.0] * n + [1.0] * len(tape)
    for k in reversed(range(len(tape))):
        for operand, local in tape[k]:
            slopes[operand] += local * slopes[n + k]
    return slopes[:n]


def _sample_variance(up, x, eps=1e-5):
    d = max(x.shape[-1], 2)
    centred = x - x.mean(-1, keepdims=True)
    sigma = np.sqrt((centred**2).sum(-1, keepdims=True) / (d - 1) + eps)
    y = centred / sigma
    return (up - up.mean(-1, keepdims=True) - y * (up * y).sum(-1, keepdims=True) / (d - 1)) / sigma


def _eps_outside(up, x, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    sigma = np.sqrt((centred**2).mean(-1, keepdims=True))
    y = centred / (sigma + eps)
    return (up - up.mean(-1, keepdims=True) - y * (up * y).mean(-1, keepdims=True)) / sigma


def _engine():
    from helpers.taught import day06

    return day06


def _keeps_the_graph(fn, *inputs):
    return fn(*inputs)


def _starts_from_ones(fn, *inputs):
    e = _engine()

    def pull_for(i):
        def pull(up):
            fresh = [e.Tensor(t.value) for t in inputs]
            e.backward(fn(*fresh))
            return fresh[i].grad

        return pull

    constants = [e.Tensor(t.value, learns=False) for t in inputs]
    return e.Tensor(fn(*constants).value, *((t, pull_for(i)) for i, t in enumerate(inputs)))


def _keeps_the_first_answer(fn, *inputs):
    e = _engine()
    found = []

    def pull_for(i):
        def pull(up):
            if not found:
                found.extend(e.Tensor(t.value) for t in inputs)
                e.backward(fn(*found), up)
            return found[i].grad

        return pull

    constants = [e.Tensor(t.value, learns=False) for t in inputs]
    return e.Tensor(fn(*constants).value, *((t, pull_for(i)) for i, t in enumerate(inputs)))


def _reruns_on_the_inputs(fn, *inputs):
    e = _engine()

    def pull_for(i):
        def pull(up):
            e.backward(fn(*inputs), up)
            return inputs[i].grad

        return pull

    constants = [e.Tensor(t.value, learns=False) for t in inputs]
    return e.Tensor(fn(*constants).value, *((t, pull_for(i)) for i, t in enumerate(inputs)))


WRONG = {
    "reverse_sweep": {
        "a later report replaces an earlier one": _replaces,
        "walks every path": _walks_paths,
        "reads the tape forwards": _reads_forwards,
        "starts every value at 1": _every_value_counts,
    },
    "layer_norm_pull": {
        "you take μ and σ as constants": lambda up, x, eps=1e-5: _pull_forgetting(up, x, eps, mean=True),
        "you take σ as a constant": lambda up, x, eps=1e-5: _pull_forgetting(up, x, eps, mean=False),
        "the variance is the plain mean, not a sum over d − 1": _sample_variance,
        "eps belongs inside the root": _eps_outside,
    },
    "checkpointed": {
        "keeps the graph": _keeps_the_graph,
        "inner sweep starts from ones": _starts_from_ones,
        "reruns on the inputs themselves": _reruns_on_the_inputs,
        "keeps the first sweep's answer": _keeps_the_first_answer,
    },
}
