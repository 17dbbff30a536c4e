"""Checks of day 36: a norm that survives, the pre-norm block, the hidden width, folding a gain."""

import torch
import torch.nn.functional as F


def rms_norm(fn):
    g = torch.Generator().manual_seed(36)
    for shape in [(4,), (1,), (3, 5), (2, 3, 8)]:
        for dtype in (torch.float64, torch.float32):
            x = 2 * torch.randn(shape, generator=g).to(dtype) + 1
            gain = torch.randn(shape[-1], generator=g).to(dtype)
            got = fn(x, gain, 0.25)
            assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
            assert got.dtype == dtype, f"x is {dtype}, your answer {got.dtype}: it has the type of x"
            want = F.rms_norm(x, shape[-1:], gain, 0.25)
            far = (got - want).abs().max().item() if got.shape == want.shape else float("inf")
            tolerance = 1e-12 if dtype == torch.float64 else 1e-5
            assert far < tolerance, f"shape {shape}, {dtype}, ε = 0.25: off by {far:.2g}. {_why(fn)}"
    return "two full precisions; in half precision " + _halves(fn, g)


def _why(fn):
    x = torch.tensor([7.0, -1.0, 7.0, -1.0])
    one = torch.ones(4)
    got = fn(x, one, 0.0)
    if torch.allclose(got, torch.tensor([1.0, -1.0, 1.0, -1.0])):
        return "It subtracts the mean: that is LayerNorm"
    if torch.allclose(got, x / 10):
        return "(7, −1, 7, −1) is divided by 10, its length; its root mean square is 5"
    if torch.allclose(fn(x, 2 * one, 0.0), fn(x, one, 0.0)):
        return "The gain has no effect"
    if not torch.allclose(got, x / 5, atol=1e-4):
        return "(7, −1, 7, −1) has mean square 25: divide by 5"
    return "Without ε it fits: ε is added to the mean square, under the root; and float64 must stay float64 throughout"


def _halves(fn, g):
    for dtype in (torch.float16, torch.bfloat16):
        for scale in (1.0, 1e-4, 300.0, 20000.0):
            x = (scale * torch.randn(6, 32, generator=g)).clamp(-60000, 60000).to(dtype)
            gain = 1 + 0.1 * torch.randn(32, generator=g).to(dtype)
            got = fn(x, gain, 1e-12)
            assert got.dtype == dtype, f"x is {dtype}, your answer {got.dtype}: it has the type of x"
            want = F.rms_norm(x.double(), (32,), gain.double(), 1e-12)
            assert got.isfinite().all(), f"{dtype}, numbers around {scale:g}: your answer holds NaN or infinities"
            far = (got.double() - want).norm() / want.norm()
            allowed = 1e-3 if dtype == torch.float16 else 8e-3
            assert far < allowed, (
                f"{dtype}, numbers around {scale:g}: off by {far:.1%}. What is the square of your largest number, of "
                "your smallest, and in which type do you take it?"
            )
        zero = fn(torch.zeros(2, 8, dtype=dtype), torch.ones(8, dtype=dtype), 1e-5)
        assert (zero == 0).all(), "a token of zeros should give zeros: in which type is ε added?"
    return "from 1e-4 to 60,000, and zeros"


def llama_block(fn):
    g = torch.Generator().manual_seed(1)
    for n, d in [(5, 8), (1, 3), (7, 16)]:
        a, b = (torch.randn(d, d, generator=g).double() for _ in range(2))
        gain1, gain2 = (torch.randn(d, generator=g).double() for _ in range(2))
        x = (3 * torch.randn(2, n, d, generator=g).double()).requires_grad_()

        def attend(t, a=a):
            return (t @ a).cumsum(-2)

        def feed(t, b=b):
            return torch.tanh(t @ b)

        def norm(t, gain):
            return F.rms_norm(t, t.shape[-1:], gain, 0.01)

        middle = x + attend(norm(x, gain1))
        want = middle + feed(norm(middle, gain2))
        before = x.detach().clone()
        got = fn(x, attend, feed, gain1, gain2, 0.01)
        assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
        assert torch.equal(x.detach(), before), "x itself was changed: x += … works in place; write x = x + …"
        assert got.shape == want.shape, f"the stream keeps its shape {tuple(want.shape)}, got {tuple(got.shape)}"
        rivals = {
            "that is post-norm: the norm stands on the sum": norm(
                norm(x + attend(x), gain1) + feed(norm(x + attend(x), gain1)), gain2
            ),
            "both branches read the same stream (a parallel block); here the second reads what the first wrote": x
            + attend(norm(x, gain1))
            + feed(norm(x, gain2)),
            "the second branch reads the stream without its norm": middle + feed(middle),
            "the first branch reads the stream without its norm": (x + attend(x)) + feed(norm(x + attend(x), gain2)),
            "the residual of the second branch is missing": feed(norm(middle, gain2)),
            "the first gain is used twice": middle + feed(norm(middle, gain1)),
            "the norm's output is what is added to; add to the stream itself": norm(x, gain1)
            + attend(norm(x, gain1))
            + feed(norm(norm(x, gain1) + attend(norm(x, gain1)), gain2)),
        }
        far = (got - want).abs().max().item()
        hint = next(
            (why for why, r in rivals.items() if torch.allclose(got, r)), "compare with the drawing of pre-norm"
        )
        assert far < 1e-9, f"off by {far:.2g}: {hint}"
        up = torch.randn(want.shape, generator=g).double()
        mine, theirs = (torch.autograd.grad(y, x, up)[0] for y in (got, want))
        assert torch.allclose(mine, theirs), "the output fits, the gradient does not: is something detached?"
    return "outputs and gradients in three shapes"


def hidden_width(fn):
    published = {(4096, 256): 11008, (5120, 256): 13824, (8192, 256): 22016, (576, 1): 1536, (6656, 256): 17920}
    cases = published | {(w, m): -(-8 * w // (3 * m)) * m for w in (3, 96, 100, 2049, 3 * 10**17 + 1) for m in (1, 64)}
    for (width, multiple), want in cases.items():
        got = fn(width, multiple)
        assert isinstance(got, int), f"a width is an int, got {type(got).__name__}"
        if got != want:
            hints = {
                4 * width: "that is the hidden width with two matrices; SwiGLU has three",
                want - multiple: "rounded down or to the nearest multiple: round up",
                -(-4 * width // multiple) * multiple: "rounded well, but SwiGLU has three matrices instead of two",
            }
            why = hints.get(got, "3 · width · hidden = 2 · width · (4 · width), then up to a multiple; integers only")
            raise AssertionError(f"width {width}, multiple {multiple}: {want:,} expected, got {got:,}: {why}")
    return "four Llamas and SmolLM2 as published, and widths beyond what a float can hold"


def fold(fn):
    g = torch.Generator().manual_seed(4)
    for out, width in [(5, 5), (3, 7), (1, 1)]:
        gain, shift = (torch.randn(width, generator=g) for _ in range(2))
        matrix, bias = torch.randn(out, width, generator=g), torch.randn(out, generator=g)
        y = torch.randn(4, width, generator=g)
        for s, b in [(None, None), (shift, None), (None, bias), (shift, bias)]:
            inputs = [gain, matrix] + [t for t in (s, b) if t is not None]
            copies = [t.clone() for t in inputs]
            got = fn(gain, s, matrix, b)
            assert isinstance(got, tuple) and len(got) == 2, "return a pair (matrix, bias)"
            kept = all(torch.equal(t, c) for t, c in zip(inputs, copies, strict=True))
            assert kept, "an argument was changed in place: make new tensors"
            case = f"shift {'given' if s is not None else 'None'}, bias {'given' if b is not None else 'None'}"
            assert (got[1] is None) == (s is None and b is None), (
                f"{case}: the returned bias is None exactly if both are None"
            )
            shape = tuple(got[0].shape)
            assert shape == (out, width), f"the folded matrix keeps its shape {(out, width)}, got {shape}"
            read = gain * y if s is None else gain * y + s
            want, have = F.linear(read, matrix, b), F.linear(y, *got)
            assert have.shape == want.shape, f"{case}: the bias has shape ({out},), one number per output"
            far = (want - have).abs().max().item()
            assert far < 1e-5 * (1 + want.abs().max().item()), (
                f"{case}: off by {far:.2g} for a matrix {out} × {width}. Which axis of the (out, in) matrix meets the "
                "gain, and does the matrix act on the shift before it reaches the output?"
            )
    return "three shapes, with and without shift and bias"


def _norm(t, gain, eps):
    return gain * t * torch.rsqrt((t * t).mean(-1, keepdim=True) + eps)


def _half_square(x, gain, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def _layer_norm(x, gain, eps):
    up = x.to(torch.promote_types(x.dtype, torch.float32))
    up = up - up.mean(-1, keepdim=True)
    return (up * torch.rsqrt(up.pow(2).mean(-1, keepdim=True) + eps) * gain).to(x.dtype)


def _by_length(x, gain, eps):
    up = x.to(torch.promote_types(x.dtype, torch.float32))
    return (up / (up.pow(2).sum(-1, keepdim=True) + eps).sqrt() * gain).to(x.dtype)


def _outside(x, gain, eps):
    up = x.to(torch.promote_types(x.dtype, torch.float32))
    return (up / (up.pow(2).mean(-1, keepdim=True).sqrt() + eps) * gain).to(x.dtype)


def _always_float(x, gain, eps):
    up = x.float()
    return up * torch.rsqrt(up.pow(2).mean(-1, keepdim=True) + eps) * gain.float()


def _through_float(x, gain, eps):
    return _always_float(x, gain, eps).to(x.dtype)


def _post(x, attend, feed, gain1, gain2, eps):
    x = _norm(x + attend(x), gain1, eps)
    return _norm(x + feed(x), gain2, eps)


def _parallel(x, attend, feed, gain1, gain2, eps):
    return x + attend(_norm(x, gain1, eps)) + feed(_norm(x, gain2, eps))


def _one_gain(x, attend, feed, gain1, gain2, eps):
    x = x + attend(_norm(x, gain1, eps))
    return x + feed(_norm(x, gain1, eps))


def _no_second_residual(x, attend, feed, gain1, gain2, eps):
    return feed(_norm(x + attend(_norm(x, gain1, eps)), gain2, eps))


def _normed_stream(x, attend, feed, gain1, gain2, eps):
    x = _norm(x, gain1, eps)
    x = x + attend(x)
    return x + feed(_norm(x, gain2, eps))


def _in_place(x, attend, feed, gain1, gain2, eps):
    with torch.no_grad():
        x += attend(_norm(x, gain1, eps))
    return x + feed(_norm(x, gain2, eps))


WRONG = {
    "rms_norm": {
        "squares in half precision": _half_square,
        "LayerNorm": _layer_norm,
        "divided by the length": _by_length,
        "ε beside the root": _outside,
        "answers in float32": _always_float,
        "float64 through float32": _through_float,
    },
    "llama_block": {
        "post-norm": _post,
        "parallel branches": _parallel,
        "one gain for both": _one_gain,
        "the second residual forgotten": _no_second_residual,
        "adds to the normed stream": _normed_stream,
        "in place": _in_place,
    },
    "hidden_width": {
        "four times": lambda width, multiple: 4 * width,
        "rounded down": lambda width, multiple: 8 * width // 3 // multiple * multiple,
        "rounded to the nearest": lambda width, multiple: round(8 * width / 3 / multiple) * multiple,
        "cut to an integer before rounding up": lambda width, multiple: -(-(8 * width // 3) // multiple) * multiple,
        "through floating point": lambda width, multiple: int(-(-(8 * width / 3) // multiple)) * multiple,
        "four times, rounded up": lambda width, multiple: -(-4 * width // multiple) * multiple,
    },
    "fold": {
        "scales the rows": lambda gain, shift, matrix, bias: (
            matrix * gain[: matrix.shape[0], None] if matrix.shape[0] <= matrix.shape[1] else matrix,
            bias if shift is None else matrix @ shift + (0 if bias is None else bias),
        ),
        "forgets the shift": lambda gain, shift, matrix, bias: (matrix * gain, bias),
        "the shift through the folded matrix": lambda gain, shift, matrix, bias: (
            matrix * gain,
            bias if shift is None else (matrix * gain) @ shift + (0 if bias is None else bias),
        ),
        "always a bias": lambda gain, shift, matrix, bias: (
            matrix * gain,
            matrix @ (torch.zeros_like(gain) if shift is None else shift) + (0 if bias is None else bias),
        ),
    },
}
