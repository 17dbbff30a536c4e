"""Checks of day 21, PyTorch tensors: shared places, strides of a view, an own function, clipped gradients."""

import random

import torch
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks
from torch.func import grad, vmap
from torch.multiprocessing.reductions import StorageWeakRef


def overlaps(fn):
    t = torch.arange(24).view(4, 6)
    rows = torch.arange(3)
    cases = [
        ("a tensor and itself", t, t, True, ""),
        ("a tensor and its transpose", t, t.T, True, "a view shares its elements whatever its strides"),
        ("a tensor and its clone", t, t.clone(), False, "equal values are not the same place"),
        ("two rows", t[0], t[1], False, "they share a storage and no element"),
        ("even and odd entries", t.view(-1)[::2], t.view(-1)[1::2], False, "their ranges cross, their places do not"),
        ("a row and the column that crosses it", t[1], t[:, 3], True, "they start at different places and meet"),
        ("two halves side by side", t[:, :3], t[:, 3:], False, "look at single elements, not at first and last"),
        ("overlapping windows", t[:, :4], t[:, 3:], True, "they share column 3"),
        ("a row expanded and the row", rows.expand(5, 3), rows[2:], True, "stride 0 is one place, several times"),
        ("nothing and everything", t[:0], t, False, "an empty tensor has no element to share"),
        ("a 0-dimensional view and its row", t[2, 5], t[2], True, "no axis is one element"),
        ("a copy by reshape", t.T.reshape(-1), t, False, "here reshape copied"),
        ("same data, tensor detached", t.detach()[3], t, True, "detach shares memory"),
    ]
    small = torch.arange(12, dtype=torch.int16)
    cases.append(("16-bit numbers, three apart", small[3:4], small[:2], False, "a step is measured in elements"))
    cases.append(("16-bit numbers, even against the rest", small[::2], small[1:4:2], False, "count in bytes correctly"))
    cases.append(("a step of three", small[::3], small[2::4], True, "place 6 belongs to both"))
    for name, a, b, want, hint in cases:
        for one, other in ((a, b), (b, a)):
            got = fn(one, other)
            assert isinstance(got, bool), f"{name}: return True or False, got {type(got).__name__}"
            assert got == want, f"{name}: should be {want}{': ' + hint if hint else ''}"
    rng = random.Random(21)
    for _ in range(60):
        base = torch.arange(60).view(3, 4, 5)
        one, other = _cut(base, rng), _cut(base, rng)
        want = bool(set(one.flatten().tolist()) & set(other.flatten().tolist()))
        got = fn(one, other)
        assert got == want, f"two cuts of one tensor, strides {one.stride()} and {other.stride()}: should be {want}"
    return f"{len(cases)} named pairs both ways round, 60 random pairs of cuts"


def _cut(v, rng):
    for _ in range(3):
        axis = rng.randrange(v.dim())
        i, j = sorted(rng.choices(range(v.shape[axis] + 1), k=2))
        v = v.narrow(axis, i, j - i) if rng.random() < 0.5 else v.transpose(axis, rng.randrange(v.dim()))
        step = rng.choice([1, 2, 3])
        v = v[(slice(None),) * axis + (slice(None, None, step),)]
    return v


def view_strides(fn):
    storage = torch.arange(4000)
    named = [
        ((2, 3), (3, 1), (6,), "rows in order merge"),
        ((3, 2), (1, 3), (6,), "a transpose does not merge: None"),
        ((2, 3), (3, 1), (3, 2), "a new axis may cut across old ones if they merge"),
        ((4, 6), (6, 1), (2, 2, 3, 2), "each axis is split in two"),
        ((4, 6), (12, 1), (2, 2, 6), "a cut of columns: rows may still be split"),
        ((4, 6), (12, 1), (8, 3), "the new axis of 8 would cross from row to row: None"),
        ((4, 6), (12, 1), (4, 2, 3), "columns may be split though rows do not merge"),
        ((2, 1, 3), (3, 77, 1), (6,), "the stride of an axis of size 1 is never used"),
        ((1, 1), (5, 7), (1,), "a single element is always a view"),
        ((), (), (1, 1), "no axis at all is one element"),
        ((1,), (9,), (), "no axis at all is one element"),
        ((3, 4), (0, 1), (12,), "an expanded row repeats: no single stride does that"),
        ((3, 4), (0, 0), (12,), "one element expanded twice has stride 0 throughout"),
        ((3, 4), (0, 0), (2, 6), "one element expanded twice has stride 0 throughout"),
        ((2, 3, 4), (12, 4, 1), (4, 3, 2), "everything merges, so every new shape will do"),
    ]
    rng = random.Random(4)
    for shape, strides, new, hint in named:
        _same(fn, storage, shape, strides, new, hint)
    views = 0
    for _ in range(600):
        shape = [rng.choice([1, 2, 2, 3, 4]) for _ in range(rng.randrange(1, 5))]
        v = torch.empty(shape)
        for _ in range(rng.randrange(3)):
            v = v.transpose(rng.randrange(v.dim()), rng.randrange(v.dim()))
        strides = list(v.stride())
        if rng.random() < 0.4:  # a cut of something larger
            k = rng.randrange(len(strides))
            strides = [s * 2 if s >= strides[k] else s for s in strides]
        new, left = [], v.numel()
        while left > 1:
            n = rng.choice([k for k in range(2, left + 1) if left % k == 0])
            new.append(n)
            left //= n
        if rng.random() < 0.3:
            new.insert(rng.randrange(len(new) + 1), 1)
        views += _same(fn, storage, tuple(v.shape), tuple(strides), tuple(new), "which old axes make this new one?")
    return f"{len(named)} named cases and 600 random ones ({views} of them views) against Tensor.view"


def _same(fn, storage, shape, strides, new, hint):
    t = storage.as_strided(shape, strides)
    try:
        want = t.view(new)
    except RuntimeError:
        want = None
    got = fn(tuple(shape), tuple(strides), tuple(new))
    case = f"shape {tuple(shape)}, strides {tuple(strides)}, new shape {tuple(new)}"
    if want is None:
        assert got is None, f"{case}: only a copy will do, you say strides {got}; {hint}"
        return 0
    assert got is not None, f"{case}: a view exists, strides {want.stride()}; {hint}"
    got = tuple(got)
    assert len(got) == len(new), f"{case}: one stride for each of {len(new)} axes, got {len(got)}"
    fits = all(n == 1 or s == w for n, s, w in zip(new, got, want.stride(), strict=True))
    assert fits, f"{case}: the strides are {want.stride()}, you say {got}; {hint}"
    return 1


def softcap(fn):
    g = torch.Generator().manual_seed(3)

    def draw(*shape, scale=1.0):
        return (scale * torch.randn(shape, generator=g, dtype=torch.float64)).requires_grad_()

    for shape, cap in (((3, 4), 5.0), ((5,), 0.7), ((), 2), ((0, 3), 1.5)):
        x = draw(*shape, scale=2.0)
        got = fn(x, cap)
        assert isinstance(got, torch.Tensor) and got.shape == x.shape, "return a tensor of the shape of x"
        assert torch.allclose(got, cap * torch.tanh(x / cap), atol=1e-12), f"cap {cap}: y should be c·tanh(x/c)"
        assert got.requires_grad, "the result has no graph: call your Function with .apply"
        assert gradcheck(fn, (x, cap), raise_exception=False), (
            f"the first derivative is wrong for cap {cap}: write dy/dx with y alone; what is 1 - tanh² in terms of y?"
        )
        (first,) = torch.autograd.grad(fn(x, cap).sum(), x, create_graph=True)
        try:
            torch.autograd.grad(first.sum(), x)
        except RuntimeError as err:
            raise AssertionError(f"the second derivative must work, too; here it says: {str(err)[:80]}") from None
        twice = gradgradcheck(fn, (x, cap), raise_exception=False)
        assert twice, (
            "the second derivative is wrong, in silence: backward must be made of differentiable operations on "
            "saved inputs or outputs, and on nothing else"
        )
    x = draw(7, 11)
    packed = []

    def pack(t):
        packed.append(t)
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        y = fn(x, 3.0)
    places = {t.untyped_storage().data_ptr() for t in packed}
    assert packed, (
        "nothing went through ctx.save_for_backward: a tensor hung on ctx passes the version check and the hooks by"
    )
    assert places == {y.untyped_storage().data_ptr()}, (
        f"{len(places)} storage(s) kept, not only the output's: save the result itself, not x and not tanh"
    )
    passing = x * 1  # keeps nothing itself
    place = StorageWeakRef(passing.untyped_storage())
    y = fn(passing, 3.0)
    del passing
    assert place.expired(), (
        "the input is still alive: something hangs on ctx besides the number, past save_for_backward"
    )
    y = fn(x, 3.0)
    with torch.no_grad():
        y.mul_(2)
    try:
        y.sum().backward()
    except RuntimeError:
        return "values, first and second derivatives for four shapes and caps; one storage kept, the output's; guarded"
    raise AssertionError("the result was overwritten and backward did not notice: save it with ctx.save_for_backward")


def clipped_mean(fn):
    g = torch.Generator().manual_seed(5)

    def loss(weights, x, y):
        return 0.5 * ((x @ weights["w"] + weights["b"] - y) ** 2).sum()

    weights = {"w": torch.randn(4, 3, generator=g, dtype=torch.float64), "b": torch.zeros(3, dtype=torch.float64)}
    xs = torch.randn(9, 4, generator=g, dtype=torch.float64)
    ys = torch.randn(9, 3, generator=g, dtype=torch.float64)
    ys[4] = xs[4] @ weights["w"]  # a perfect fit: gradient zero
    each = [
        torch.autograd.grad(loss(w := {k: v.clone().requires_grad_() for k, v in weights.items()}, x, y), w.values())
        for x, y in zip(xs, ys, strict=True)
    ]
    length = [float(torch.cat([t.flatten() for t in pair]).norm()) for pair in each]
    middle = sorted(length)[5]
    for limit, word in ((1e9, "a limit that nobody reaches"), (middle, "half are clipped"), (1e-3, "nearly all")):
        got = fn(loss, weights, xs, ys, limit)
        assert isinstance(got, dict) and set(got) == {"w", "b"}, "return a dictionary with the keys of weights"
        factor = [min(1.0, limit / n) if n else 1.0 for n in length]
        for k, key in enumerate(("w", "b")):
            assert got[key].shape == weights[key].shape, f"{key}: the mean has the shape of the weight"
            assert not torch.isnan(got[key]).any(), "NaN: one example has a gradient of zero; dividing by its length?"
            want = sum(f * pair[k] for f, pair in zip(factor, each, strict=True)) / len(xs)
            assert torch.allclose(got[key], want, rtol=1e-6, atol=1e-12), (
                f"{word}, {key!r}: the mean is off by {float((got[key] - want).norm() / want.norm()):.0%}: is each "
                "example clipped (not the mean, not each tensor by itself), and only if it is longer than the limit?"
            )
    small = fn(loss, weights, xs[:1], ys[:1], length[0] / 2)
    total = float(torch.cat([v.flatten() for v in small.values()]).norm())
    assert abs(total - length[0] / 2) < 1e-9, "one example, clipped to half its length: the mean has that length"
    return "three limits, a batch of one, an example with gradient zero"


def _shares_storage(a, b):
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _same_start(a, b):
    return a.data_ptr() == b.data_ptr()


def _ranges(a, b):
    def ends(t):
        return t.data_ptr(), t.data_ptr() + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) * (
            t.element_size()
        )

    if not a.numel() or not b.numel():
        return False
    (low, high), (low2, high2) = ends(a), ends(b)
    return low <= high2 and low2 <= high


def _equal_values(a, b):
    return bool(set(a.flatten().tolist()) & set(b.flatten().tolist()))


def _no_bytes(a, b):
    def places(t):
        found = {t.data_ptr()} if t.numel() else set()
        for n, s in zip(t.shape, t.stride(), strict=True):
            found = {p + i * s for p in found for i in range(n)}
        return found

    return bool(places(a) & places(b))


def _view(ones=True, split=True, always=False, zero=True):
    def strides_of(shape, strides, new):
        axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1 or not ones]
        runs = []
        for n, s in axes:
            merges = runs and runs[-1][1] == n * s and (zero or s)
            if merges or (always and runs):
                runs[-1] = [runs[-1][0] * n, s]
            else:
                runs.append([n, s])
        if not split and len(runs) > 1:
            return None
        found, left, step = [], 1, 1
        for n in reversed(new):
            if n == 1:
                found.append(1)
                continue
            if left == 1:
                if not runs:
                    return None
                left, step = runs.pop()
            if left % n:
                return None
            found.append(step)
            left, step = left // n, step * n
        return tuple(reversed(found))

    return strides_of


def _contiguous(shape, strides, new):
    found, step = [], 1
    for n in reversed(new):
        found.append(step)
        step *= n
    return tuple(reversed(found))


def _capped(*, keep="output", scale=True, once=False, loose=False, alibi=False):
    class Capped(Function):
        @staticmethod
        def forward(ctx, x, cap):
            t = torch.tanh(x / cap)
            y = cap * t
            ctx.cap = cap
            if alibi:
                ctx.x = x.detach()
            if loose:
                ctx.y = y.detach()
            else:
                ctx.save_for_backward({"output": y, "input": x, "tanh": t}[keep])
            return y

        @staticmethod
        def backward(ctx, up):
            kept = ctx.y if loose else ctx.saved_tensors[0]
            if alibi:
                kept = kept + 0 * ctx.x
            if keep == "input":
                kept = ctx.cap * torch.tanh(kept / ctx.cap)
            if keep == "tanh":
                kept = ctx.cap * kept
            slope = 1 - (kept / ctx.cap) ** 2 if scale else 1 - kept**2
            return up * slope, None

    if once:
        Capped.backward = staticmethod(once_differentiable(Capped.backward))
    return lambda x, cap: Capped.apply(x, cap)


def _clip(*, mean=False, tensors=False, always=False, total=False):
    def clipped(loss, weights, xs, ys, limit):
        each = vmap(grad(loss), (None, 0, 0))(weights, xs, ys)
        if mean:
            each = {k: v.mean(0, keepdim=True) for k, v in each.items()}
        square = {k: v.flatten(1).square().sum(1) for k, v in each.items()}
        whole = sum(square.values())
        out = {}
        for k, v in each.items():
            factor = limit / (square[k] if tensors else whole).sqrt().clamp_min(1e-30)
            factor = factor if always else factor.clamp_max(1)
            out[k] = torch.einsum("b,b...->b...", factor, v)
            out[k] = out[k].sum(0) if total else out[k].mean(0)
        return out

    return clipped


def _clip_nan(loss, weights, xs, ys, limit):
    each = vmap(grad(loss), (None, 0, 0))(weights, xs, ys)
    length = sum(v.flatten(1).square().sum(1) for v in each.values()).sqrt()
    return {k: torch.einsum("b,b...->b...", 1 / length * length.clamp_max(limit), v).mean(0) for k, v in each.items()}


WRONG = {
    "overlaps": {
        "same storage": _shares_storage,
        "same first element": _same_start,
        "ranges that cross": _ranges,
        "equal values": _equal_values,
        "strides taken for bytes": _no_bytes,
    },
    "view_strides": {
        "strides of a contiguous tensor": _contiguous,
        "merges everything": _view(always=True),
        "counts axes of size 1": _view(ones=False),
        "a view only if all merges": _view(split=False),
        "stride 0 never merges": _view(zero=False),
    },
    "softcap": {
        "no Function, plain PyTorch": lambda x, cap: cap * torch.tanh(x / cap),
        "keeps its input": _capped(keep="input"),
        "keeps tanh, an intermediate": _capped(keep="tanh"),
        "forgets the cap in the slope": _capped(scale=False),
        "refuses the second derivative": _capped(once=True),
        "hangs the output on ctx": _capped(loose=True),
        "hangs the input on ctx as well": _capped(alibi=True),
    },
    "clipped_mean": {
        "clips the mean": _clip(mean=True),
        "clips each tensor by itself": _clip(tensors=True),
        "lengthens the short ones, too": _clip(always=True),
        "a sum": _clip(total=True),
        "divides by a length of zero": _clip_nan,
    },
}
