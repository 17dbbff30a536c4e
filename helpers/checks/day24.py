"""Checks of day 24: padding that keeps the size, the way back through a convolution, folding, fields with holes."""

import copy
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def same_padding(fn):
    rng = random.Random(24)
    cases = [(5, 3, 1, 1), (28, 3, 2, 1), (5, 1, 3, 1), (1, 5, 1, 1), (6, 2, 1, 1), (4, 1, 2, 1), (9, 3, 1, 2)]
    cases += [(rng.randint(1, 30), rng.randint(1, 6), rng.randint(1, 4), rng.randint(1, 3)) for _ in range(200)]
    for n, k, s, d in cases:
        got = fn(n, k, s, d)
        assert isinstance(got, tuple) and len(got) == 2, f"return a pair (left, right), yours is {got!r}"
        left, right = got
        here = f"n = {n}, kernel {k}, stride {s}, dilation {d}"
        assert left >= 0 and right >= 0, f"{here}: {got}; padding cannot be negative (a stride may leave input unread)"
        outputs = (n + left + right - d * (k - 1) - 1) // s + 1
        want = -(-n // s)
        assert outputs == want, f"{here}: {got} gives {outputs} outputs, not {want}; where does the last tap stand?"
        less = left + right - 1
        assert less < 0 or (n + less - d * (k - 1) - 1) // s + 1 < want or n + less < d * (k - 1) + 1, (
            f"{here}: {got} is more than needed: {less} zeros already give {want} outputs"
        )
        assert 0 <= right - left <= 1, f"{here}: {got}; share evenly, and an odd zero goes to the right"
    return f"{len(cases)} cases with stride and dilation: enough, not more, the odd one right"


def _truth(up, x, w, stride, padding):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    out = F.conv2d(x, w, stride=stride, padding=padding)
    return torch.autograd.grad((out * up).sum(), (x, w))


class _Watch(TorchDispatchMode):
    """Whether the library's convolution, forward or backward, was called while it was on."""

    def __init__(self):
        super().__init__()
        self.called = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.called |= "conv" in func.__name__
        return func(*args, **(kwargs or {}))


def conv_pull(fn):
    g = torch.Generator().manual_seed(24)
    rng, tried, by_library = random.Random(24), 0, False
    shapes = [(1, 1, 1, 3, 3, 1, 1, 1, 0), (2, 1, 1, 5, 5, 3, 3, 1, 0), (2, 3, 2, 6, 7, 3, 2, 1, 1)]
    shapes += [(2, 2, 3, 7, 8, 3, 3, 2, 1), (1, 2, 2, 8, 6, 1, 2, 3, 0), (3, 1, 2, 4, 4, 4, 4, 1, 0)]
    for _ in range(20):
        p, kh, kw = rng.randint(0, 3), rng.randint(1, 4), rng.randint(1, 4)
        high, wide = (max(1, k - 2 * p) + rng.randint(0, 5) for k in (kh, kw))
        shapes.append((*(rng.randint(1, 3) for _ in range(3)), high, wide, kh, kw, rng.randint(1, 3), p))
    for b, c, o, high, wide, kh, kw, s, p in shapes:
        x = torch.randn(b, c, high, wide, generator=g).double()
        w = torch.randn(o, c, kh, kw, generator=g).double()
        up = torch.randn(F.conv2d(x, w, stride=s, padding=p).shape, generator=g).double()
        before = [t.clone() for t in (up, x, w)]
        with _Watch() as watch:
            got = fn(up, x, w, s, p)
        assert isinstance(got, tuple | list) and len(got) == 2, "return two tensors: the slopes by x and by w"
        want = _truth(up, x, w, s, p)
        here = f"x {tuple(x.shape)}, w {tuple(w.shape)}, stride {s}, padding {p}"
        for name, mine, theirs in zip(("x", "w"), got, want, strict=True):
            assert mine.shape == theirs.shape, (
                f"{here}: the slope by {name} has shape {tuple(mine.shape)}, not {tuple(theirs.shape)}"
            )
        assert all(torch.equal(a, t) for a, t in zip(before, (up, x, w), strict=True)), "leave the arguments unchanged"
        hint = "an input under several patches collects from each of them; and whose slope is the padding's?"
        assert torch.allclose(got[0], want[0], atol=1e-9), f"{here}: the slope by x is wrong: {hint}"
        hint = "each weight was used at every position of every image: add up all its uses"
        assert torch.allclose(got[1], want[1], atol=1e-9), f"{here}: the slope by w is wrong: {hint}"
        by_library |= watch.called
        tried += 1
    assert not by_library, "the slopes are right, and the library's convolution made them: gather and add yourself"
    return f"{tried} shapes with stride and padding beside autograd"


def fold(fn):
    g = torch.Generator().manual_seed(24)

    def noise(*shape):
        return torch.randn(*shape, generator=g).double()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(24)
        cases = [
            (nn.Conv2d(3, 4, 3, padding=1, bias=False), 1e-5),
            (nn.Conv2d(4, 4, 3, padding=1), 1e-5),
            (nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), 1e-3),
            (nn.Conv2d(5, 5, 1, groups=5), 0.1),
            (nn.Conv2d(1, 1, (2, 3)), 1e-5),
        ]
    for conv, eps in cases:
        conv = conv.double()
        norm = nn.BatchNorm2d(conv.out_channels, eps=eps).double().eval()
        with torch.no_grad():
            norm.weight.copy_(noise(conv.out_channels))
            norm.bias.copy_(noise(conv.out_channels))
            norm.running_mean.copy_(noise(conv.out_channels))
            norm.running_var.copy_(noise(conv.out_channels) ** 2 + 0.01)
        keep = copy.deepcopy((conv.state_dict(), norm.state_dict()))
        out = fn(conv, norm)
        here = f"{conv.in_channels} to {conv.out_channels} channels, groups {conv.groups}, bias {conv.bias is not None}"
        assert isinstance(out, nn.Conv2d), f"return a new nn.Conv2d, yours is a {type(out).__name__}"
        assert out is not conv, "return a new layer: the old one must stay as it was"
        for was, module in zip(keep, (conv, norm), strict=True):
            same = all(torch.equal(was[k], v) for k, v in module.state_dict().items())
            assert same and len(was) == len(module.state_dict()), (
                f"{type(module).__name__} was changed: copy before you write"
            )
        x = noise(2, conv.in_channels, 7, 8)
        with torch.no_grad():
            want = norm(conv(x))
            got = out(x)
        assert got.shape == want.shape, f"{here}: output {tuple(got.shape)}, not {tuple(want.shape)}: copy the dials"
        gap = (got - want).abs().max().item()
        hint = (
            "which axis of the weight is the output channel, is it a deviation or a variance, where does eps "
            "stand, and what becomes of an old bias?"
        )
        assert gap < 1e-9, f"{here}, eps {eps}: outputs differ by {gap:.1e}: {hint}"
        out.weight.data.add_(1.0)
        assert torch.equal(keep[0]["weight"], conv.weight), "the new layer shares its weights with the old one"
    return "five layers: with and without bias, groups, stride, dilation, a large eps"


def _reach(layers):
    """Positions by walking down from output 0, layer by layer: another way than the solution's."""
    here = {0}
    for kernel, stride, dilation in reversed(layers):
        here = {stride * i + dilation * k for i in here for k in range(kernel)}
    return sorted(here)


def inputs_seen(fn):
    rng, tried = random.Random(24), 0
    cases = [[], [(3, 1, 1)], [(3, 1, 2)], [(1, 3, 2)], [(3, 2, 1), (3, 1, 1)], [(2, 3, 1), (2, 1, 1)]]
    cases += [[(3, 1, 2)] * 3, [(3, 1, 1), (3, 1, 2), (3, 1, 4)], [(2, 2, 3), (3, 3, 2), (2, 1, 1)]]
    for _ in range(80):
        cases.append([(rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3)) for _ in range(rng.randint(0, 4))])
    for layers in cases:
        got = fn(list(layers))
        want = _reach(layers)
        assert isinstance(got, list), f"return a sorted list, yours is a {type(got).__name__}"
        hint = "are there holes, does each position stand once, and which strides lie below a layer?"
        assert got == want, f"layers {layers}: yours {got[:9]}, read are {want[:9]} ({len(want)} in all): {hint}"
        tried += 1
    return f"{tried} stacks with stride and dilation, the empty one included"


def _same_symmetric(n, kernel, stride=1, dilation=1):
    half = dilation * (kernel - 1) // 2
    return half, half


def _same_no_stride(n, kernel, stride=1, dilation=1):
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def _same_left(n, kernel, stride=1, dilation=1):
    total = max((-(-n // stride) - 1) * stride + dilation * (kernel - 1) + 1 - n, 0)
    return total - total // 2, total // 2


def _same_negative(n, kernel, stride=1, dilation=1):
    total = (-(-n // stride) - 1) * stride + dilation * (kernel - 1) + 1 - n
    return total // 2, total - total // 2


def _same_no_dilation(n, kernel, stride=1, dilation=1):
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


def _places(x, w, stride, padding):
    for i in range((x.shape[2] + 2 * padding - w.shape[2]) // stride + 1):
        for j in range((x.shape[3] + 2 * padding - w.shape[3]) // stride + 1):
            yield i, j, slice(stride * i, stride * i + w.shape[2]), slice(stride * j, stride * j + w.shape[3])


def _pull(up, x, w, stride, padding, add=True, crop=True, mean=False):
    wide = F.pad(x, [padding] * 4)
    by_x, by_w = torch.zeros_like(wide), torch.zeros_like(w)
    for i, j, a, b in _places(x, w, stride, padding):
        part = torch.einsum("bo,ocij->bcij", up[:, :, i, j], w)
        by_x[:, :, a, b] = by_x[:, :, a, b] * add + part
        by_w += torch.einsum("bo,bcij->ocij", up[:, :, i, j], wide[:, :, a, b])
    high, length = x.shape[2:]
    if crop:
        by_x = by_x[..., padding : padding + high, padding : padding + length]
    return by_x, by_w / len(x) if mean else by_w


def _pull_overwrite(up, x, w, stride=1, padding=0):
    return _pull(up, x, w, stride, padding, add=False)


def _pull_padded(up, x, w, stride=1, padding=0):
    return _pull(up, x, w, stride, padding, crop=False)


def _pull_mean(up, x, w, stride=1, padding=0):
    return _pull(up, x, w, stride, padding, mean=True)


def _pull_flipped(up, x, w, stride=1, padding=0):
    _, by_w = _pull(up, x, w, stride, padding)
    kh, kw = w.shape[2:]
    full = F.pad(up, [kw - 1, kw - 1, kh - 1, kh - 1])
    by_x = F.conv2d(full, w.flip(2, 3).transpose(0, 1))
    high, length = x.shape[2:]
    return by_x[..., padding : padding + high, padding : padding + length], by_w


def _pull_no_flip(up, x, w, stride=1, padding=0):
    return F.conv_transpose2d(up, w.flip(2, 3), stride=stride, padding=padding), _pull(up, x, w, stride, padding)[1]


def _pull_transposed(up, x, w, stride=1, padding=0):
    spare = [(n + 2 * padding - k) % stride for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    by_x = F.conv_transpose2d(up, w, stride=stride, padding=padding, output_padding=spare)
    return by_x, _pull(up, x, w, stride, padding)[1]


def _pull_autograd(up, x, w, stride=1, padding=0):
    return _truth(up, x, w, stride, padding)


def _fold_with(conv, norm, scale, bias):
    out = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    ).to(conv.weight.dtype)
    with torch.no_grad():
        out.weight.copy_(conv.weight * scale[:, None, None, None])
        out.bias.copy_(norm.bias + (bias - norm.running_mean) * scale)
    return out


def _scale(norm):
    return norm.weight / (norm.running_var + norm.eps).sqrt()


def _fold_no_eps(conv, norm):
    bias = 0 if conv.bias is None else conv.bias
    return _fold_with(conv, norm, norm.weight / norm.running_var.sqrt(), bias)


def _fold_variance(conv, norm):
    bias = 0 if conv.bias is None else conv.bias
    return _fold_with(conv, norm, norm.weight / (norm.running_var + norm.eps), bias)


def _fold_old_bias(conv, norm):
    return _fold_with(conv, norm, _scale(norm), torch.zeros_like(norm.bias))


def _fold_bias_unscaled(conv, norm):
    bias = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias
    out = _fold_with(conv, norm, _scale(norm), torch.zeros_like(norm.bias))
    out.bias.data.add_(bias)
    return out


def _fold_plain_dials(conv, norm):
    bias = 0 if conv.bias is None else conv.bias
    out = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, groups=conv.groups).to(conv.weight.dtype)
    with torch.no_grad():
        out.weight.copy_(conv.weight * _scale(norm)[:, None, None, None])
        out.bias.copy_(norm.bias + (bias - norm.running_mean) * _scale(norm))
    return out


def _fold_in_place(conv, norm):
    bias = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias.data
    conv.weight.data.mul_(_scale(norm).data[:, None, None, None])
    conv.bias = nn.Parameter((norm.bias + (bias - norm.running_mean) * _scale(norm)).data)
    return conv


def _seen_filled(layers):
    seen, jump = 1, 1
    for kernel, stride, dilation in layers:
        seen, jump = seen + dilation * (kernel - 1) * jump, jump * stride
    return list(range(seen))


def _seen_no_jump(layers):
    seen = {0}
    for kernel, _, dilation in layers:
        seen = {p + dilation * k for p in seen for k in range(kernel)}
    return sorted(seen)


def _seen_doubles(layers):
    seen, jump = [0], 1
    for kernel, stride, dilation in layers:
        seen, jump = [p + dilation * k * jump for p in seen for k in range(kernel)], jump * stride
    return sorted(seen)


def _seen_own_stride(layers):
    seen, jump = {0}, 1
    for kernel, stride, dilation in layers:
        jump *= stride
        seen = {p + dilation * k * jump for p in seen for k in range(kernel)}
    return sorted(seen)


WRONG = {
    "same_padding": {
        "half a kernel on both sides": _same_symmetric,
        "ignores the stride": _same_no_stride,
        "the odd zero on the left": _same_left,
        "negative padding": _same_negative,
        "ignores the dilation": _same_no_dilation,
    },
    "conv_pull": {
        "overwrites where patches overlap": _pull_overwrite,
        "keeps the padding's share": _pull_padded,
        "mean over the batch": _pull_mean,
        "flipped kernel, stride forgotten": _pull_flipped,
        "transposed convolution of a flipped kernel": _pull_no_flip,
        "the library's transposed convolution": _pull_transposed,
        "autograd": _pull_autograd,
    },
    "fold": {
        "no eps": _fold_no_eps,
        "divides by the variance": _fold_variance,
        "forgets the old bias": _fold_old_bias,
        "old bias not scaled": _fold_bias_unscaled,
        "loses stride and padding": _fold_plain_dials,
        "changes the layer it was given": _fold_in_place,
    },
    "inputs_seen": {
        "the field without holes": _seen_filled,
        "ignores the stride": _seen_no_jump,
        "a position once per path": _seen_doubles,
        "a layer's own stride too early": _seen_own_stride,
    },
}
