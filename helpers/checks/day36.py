"""Checks of day 36: a norm that survives, the pre-norm block, the hidden width, folding a gain."""

import torch
import torch.nn.functional as F


def rms_norm(fn):
    g = torch.Generator().manual_seed(36)
    for shape in [(4,), (1,), (3, 5), (2, 3, 8)]:
        for dtype in (torch.float64, torch.float32):
            x = 2 * torch.randn(shape, generator=g).to(dtype) + 1
            gain, before = torch.randn(shape[-1], generator=g).to(dtype), x.clone()
            got = fn(x, gain, 0.25)
            assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
            assert torch.equal(x, before), "x itself was changed: make a new tensor"
            assert got.dtype == dtype, f"x is {dtype}, your answer {got.dtype}: it has the type of x"
            assert got.shape == x.shape, f"x has the shape {shape}, your answer {tuple(got.shape)}: a norm keeps it"
            far = (got - F.rms_norm(x, shape[-1:], gain, 0.25)).abs().max().item()
            tolerance = 1e-12 if dtype == torch.float64 else 1e-5
            assert far < tolerance, f"shape {shape}, {dtype}, ε = 0.25: off by {far:.2g}. {_why(got, x, gain, 0.25)}"
    return "two full precisions; in half precision " + _halves(fn, g)


def _why(got, x, gain, eps):
    got, x, gain = got.double(), x.double(), gain.double()
    square, flat = x.pow(2).mean(-1, keepdim=True), x - x.mean(-1, keepdim=True)
    right = x * (square + eps).rsqrt() * gain
    rivals = {
        "Right to five digits or so: in which type is each step, if x is float64?": right,
        "The gain has no effect": x * (square + eps).rsqrt(),
        "The gain multiplies as it is; it is not 1 + gain": right + x * (square + eps).rsqrt(),
        "ε has no effect, or hardly any: it is given, and not always small": x * square.rsqrt() * gain,
        "ε stands in the wrong place: with ε = 11, (7, −1, 7, −1) is divided by √36": x / (square.sqrt() + eps) * gain,
        "This divides by the length; a root MEAN square does not grow with the width": x
        * (x.pow(2).sum(-1, keepdim=True) + eps).rsqrt()
        * gain,
        "One scale for the whole tensor: each token has its own": x * (x.pow(2).mean() + eps).rsqrt() * gain,
        "It subtracts the mean: that is LayerNorm": flat * (flat.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * gain,
        "That is a standard deviation: RMS does not ask how far from the mean": x
        * (flat.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        * gain,
    }
    close = (hint for hint, value in rivals.items() if torch.allclose(got, value, atol=1e-4))
    return next(close, "Take (7, −1, 7, −1) with gain 1 and ε = 0: which number is it divided by?")


def _halves(fn, g):
    for dtype in (torch.float16, torch.bfloat16):
        for scale in (1.0, 1e-4, 300.0, 20000.0):
            x = (scale * torch.randn(6, 32, generator=g)).clamp(-60000, 60000).to(dtype)
            gain = 1 + 0.1 * torch.randn(32, generator=g).to(dtype)
            got = fn(x, gain, 1e-12)
            assert got.dtype == dtype, f"x is {dtype}, your answer {got.dtype}: it has the type of x"
            want = F.rms_norm(x.double(), (32,), gain.double(), 1e-12)
            assert got.isfinite().all(), (
                f"{dtype}, numbers around {scale:g}: your answer holds NaN or infinities: which step "
                "leaves the range of the type, or becomes 0 and divides?"
            )
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
        leaf = (3 * torch.randn(2, n, d, generator=g).double()).requires_grad_()
        x = leaf.clone()

        def attend(t, a=a):
            return (t @ a).cumsum(-2)

        def feed(t, b=b):
            return torch.tanh(t @ b)

        want = _block(x, attend, feed, gain1, gain2)
        before = x.detach().clone()
        got = fn(x, attend, feed, gain1, gain2, 0.01)
        assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
        assert torch.equal(x.detach(), before), "x itself was changed: x += … works in place; write x = x + …"
        assert got.shape == want.shape, f"the stream keeps its shape {tuple(want.shape)}, got {tuple(got.shape)}"
        far = (got - want).abs().max().item()
        assert far < 1e-9, f"off by {far:.2g}: {_which(got, far, x, attend, feed, gain1, gain2)}"
        up = torch.randn(want.shape, generator=g).double()
        mine, theirs = (torch.autograd.grad(y, leaf, up, retain_graph=True)[0] for y in (got, want))
        assert torch.allclose(mine, theirs), "the output fits, the gradient does not: is something detached?"
    return "outputs and gradients in three shapes"


def _rms(t, gain):
    return F.rms_norm(t, t.shape[-1:], gain, 0.01)


def _block(x, attend, feed, gain1, gain2, norm=_rms):
    middle = x + attend(norm(x, gain1))
    return middle + feed(norm(middle, gain2))


def _which(got, far, x, attend, feed, gain1, gain2):
    """What a wrong block is, in words."""
    one = torch.ones_like(gain1)
    read = _rms(x, gain1)
    middle, bare = x + attend(read), x + attend(x)
    rivals = {
        "no branch reads through a norm": bare + feed(bare),
        "the first branch reads the stream without its norm": bare + feed(_rms(bare, gain2)),
        "the second branch reads the stream without its norm": middle + feed(middle),
        "that is post-norm: the norm stands on the sum": _rms(_rms(bare, gain1) + feed(_rms(bare, gain1)), gain2),
        "each norm stands behind its branch; which side is it on in the drawing?": x
        + _rms(attend(x), gain1)
        + _rms(feed(x + _rms(attend(x), gain1)), gain2),
        "both branches read the same stream (a parallel block); here the second reads what the first wrote": middle
        + feed(_rms(x, gain2)),
        "what attention wrote is read by the second branch and then lost from the stream": x
        + feed(_rms(middle, gain2)),
        "the first branch replaces the stream instead of adding to it": attend(read) + feed(_rms(attend(read), gain2)),
        "the second branch replaces the stream instead of adding to it": feed(_rms(middle, gain2)),
        "the norm's output is what is added to; add to the stream itself": _block(
            read, attend, feed, one, gain2, lambda t, gain: t if gain is one else _rms(t, gain)
        ),
        "the first gain is used twice": middle + feed(_rms(middle, gain1)),
        "the gains have changed places": _block(x, attend, feed, gain2, gain1),
        "the gains have no effect": _block(x, attend, feed, one, one),
        "the feed-forward comes second": _block(x, feed, attend, gain1, gain2),
        "its norm subtracts the mean; Llama's does not": _block(
            x, attend, feed, gain1, gain2, lambda t, gain: F.layer_norm(t, t.shape[-1:], gain, None, 0.01)
        ),
    }
    close = (why for why, rival in rivals.items() if torch.allclose(got, rival))
    nearly = "nearly right. ε is given; where is it added? And does each step keep the type of x?"
    return next(close, nearly if far < 0.1 else "follow the drawing of pre-norm: who reads what, and what is added?")


def hidden_width(fn):
    published = {(4096, 256): 11008, (5120, 256): 13824, (8192, 256): 22016, (576, 1): 1536, (6656, 256): 17920}
    cases = published | {(w, m): -(-8 * w // (3 * m)) * m for w in (3, 96, 100, 2049, 3 * 10**17 + 1) for m in (1, 64)}
    for (width, multiple), want in cases.items():
        got = fn(width, multiple)
        assert isinstance(got, int), f"a width is an int, got {type(got).__name__}"
        if got == want:
            continue
        cut = 8 * width // 3
        hints = [
            (4 * width, "that is the classic network's; how many matrices has SwiGLU?"),
            (-(-4 * width // multiple) * multiple, "rounded well; but how many matrices has SwiGLU?"),
            (-(-cut // multiple) * multiple, "a fraction was cut off before rounding up: keep it until the end"),
            (cut // multiple * multiple, "the multiple below: its network has fewer weights than the classic one"),
            (want + multiple, "the multiple below already has enough weights: an exact fit stays"),
            (cut, f"that is not a whole multiple of {multiple}"),
        ]
        why = "count the weights of both networks: how many matrices each, of which shape? Set them equal, then round"
        if abs(got - want) < 1e-9 * want:
            why = "nearly: a float holds about 16 digits; divide integers with //"
        why = next((hint for value, hint in hints if got == value), why)
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
            assert isinstance(got, tuple | list) and len(got) == 2, "return a pair (matrix, bias)"
            kept = all(torch.equal(t, c) for t, c in zip(inputs, copies, strict=True))
            assert kept, "an argument was changed in place: make new tensors"
            case = f"shift {'given' if s is not None else 'None'}, bias {'given' if b is not None else 'None'}"
            assert (got[1] is None) == (s is None and b is None), (
                f"{case}: the returned bias is None exactly if both are None. What comes out for y = 0?"
            )
            shape = tuple(got[0].shape)
            assert shape == (out, width), f"the folded matrix keeps its shape {(out, width)}, got {shape}"
            read = gain * y if s is None else gain * y + s
            want, have = F.linear(read, matrix, b), F.linear(y, *got)
            assert have.shape == want.shape, f"{case}: the bias has shape ({out},), one number per output"
            far = (want - have).abs().max().item()
            assert far < 1e-5 * (1 + want.abs().max().item()), (
                f"{case}: off by {far:.2g} for a matrix {out} × {width}. {_fault(got, gain, s, matrix, b)}"
            )
    return "three shapes, with and without shift and bias"


def _fault(got, gain, shift, matrix, bias):
    """Which of the two returned parts is wrong, and how."""
    if not torch.allclose(got[0], matrix * gain, atol=1e-5):
        if torch.equal(got[0], matrix):
            return "The matrix is the old one: where has the gain gone?"
        if gain.numel() == len(matrix) and torch.allclose(got[0], matrix * gain[:, None], atol=1e-5):
            return "The gain has scaled the outputs; it belongs to the inputs, one number each"
        return "Put y = (1, 0, …, 0): which numbers of the matrix answer, and how loud should they be?"
    old = 0 if bias is None else bias
    if shift is not None and torch.allclose(got[1], matrix @ shift, atol=1e-5):
        return "The matrix fits; the old bias is lost"
    if bias is not None and torch.equal(got[1], bias):
        return "The matrix fits; the shift has no effect. What comes out for y = 0?"
    if shift is not None and torch.allclose(got[1] - old, (matrix * gain) @ shift, atol=1e-5):
        return "The matrix fits; the shift has met the gain. In gain · y + shift, does it?"
    return "The matrix fits, the bias does not. What comes out for y = 0, before and after folding?"


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


def _changes(x, gain, eps):
    return x.mul_(torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)) * gain


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


def _no_first_residual(x, attend, feed, gain1, gain2, eps):
    x = attend(_norm(x, gain1, eps))
    return x + feed(_norm(x, gain2, eps))


def _gains_swapped(x, attend, feed, gain1, gain2, eps):
    x = x + attend(_norm(x, gain2, eps))
    return x + feed(_norm(x, gain1, eps))


def _lost(x, attend, feed, gain1, gain2, eps):
    return x + feed(_norm(x + attend(_norm(x, gain1, eps)), gain2, eps))


def _detached(x, attend, feed, gain1, gain2, eps):
    x = x + attend(_norm(x, gain1, eps).detach())
    return x + feed(_norm(x, gain2, eps))


def _own_eps(x, attend, feed, gain1, gain2, eps):
    x = x + attend(_norm(x, gain1, 1e-5))
    return x + feed(_norm(x, gain2, 1e-5))


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
        "one scale for all tokens": lambda x, gain, eps: x * torch.rsqrt((x * x).mean() + eps) * gain,
        "changes x": _changes,
    },
    "llama_block": {
        "post-norm": _post,
        "parallel branches": _parallel,
        "one gain for both": _one_gain,
        "the second residual forgotten": _no_second_residual,
        "adds to the normed stream": _normed_stream,
        "in place": _in_place,
        "the first residual forgotten": _no_first_residual,
        "gains exchanged": _gains_swapped,
        "what attention wrote is lost": _lost,
        "a detached norm": _detached,
        "an ε of its own": _own_eps,
    },
    "hidden_width": {
        "four times": lambda width, multiple: 4 * width,
        "rounded down": lambda width, multiple: 8 * width // 3 // multiple * multiple,
        "rounded to the nearest": lambda width, multiple: round(8 * width / 3 / multiple) * multiple,
        "cut to an integer before rounding up": lambda width, multiple: -(-(8 * width // 3) // multiple) * multiple,
        "through floating point": lambda width, multiple: int(-(-(8 * width / 3) // multiple)) * multiple,
        "always one more": lambda width, multiple: (8 * width // (3 * multiple) + 1) * multiple,
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
        "the shift past the matrix": lambda gain, shift, matrix, bias: (
            matrix * gain,
            bias if shift is None else shift.sum() + (0 if bias is None else bias) + torch.zeros(len(matrix)),
        ),
        "the old bias lost": lambda gain, shift, matrix, bias: (
            matrix * gain,
            bias if shift is None else matrix @ shift,
        ),
        "always a bias": lambda gain, shift, matrix, bias: (
            matrix * gain,
            matrix @ (torch.zeros_like(gain) if shift is None else shift) + (0 if bias is None else bias),
        ),
    },
}
