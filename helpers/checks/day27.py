"""Checks of day 27: length of a memory, an LSTM layer, a truncated unroll, the last real step, spread biases."""

import math

import torch
from torch import nn


def memory_steps(fn):
    cases = [(0.0, 0.5, 1), (0.0, 0.1, 4), (1.0, 0.01, 15), (3.0, 0.5, 15), (5.0, 0.1, 343), (-2, 0.1, 2)]
    for bias, share, want in cases:
        got = fn(bias, share)
        assert isinstance(got, int), f"return a whole number of steps, got {type(got).__name__}"
        keep = 1 / (1 + math.exp(-bias))
        assert got == want, (
            f"bias {bias}, share {share}: each step keeps σ({bias}) = {keep:.3f}, so after {got} steps "
            f"{keep**got if got < 10_000 else 0:.3g} is left"
            + (", still too much" if keep**got > share else " and one step less would have done")
        )
    return "six pairs of bias and share"


def _lstm_case(g, time, batch, n_in, hidden):
    net = nn.LSTM(n_in, hidden, batch_first=True)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * 0.5)
    shapes = ((batch, time, n_in), (batch, hidden), (batch, hidden))
    x, h, c = (torch.randn(s, generator=g, requires_grad=True) for s in shapes)
    return net, x, h, c


def my_lstm(fn):
    g = torch.Generator().manual_seed(27)
    for time, batch, n_in, hidden in [(1, 1, 1, 1), (1, 3, 2, 4), (5, 1, 3, 2), (7, 4, 3, 6)]:
        net, x, h, c = _lstm_case(g, time, batch, n_in, hidden)
        case = f"batch {batch}, time {time}, in {n_in}, hidden {hidden}"
        got = fn(x, (h, c), *net.parameters())
        assert isinstance(got, tuple) and len(got) == 2, "return (outputs, (h, c))"
        out, state = got
        assert isinstance(state, tuple) and len(state) == 2, "the final state is a pair (h, c)"
        want, (want_h, want_c) = net(x, (h[None], c[None]))
        assert out.shape == want.shape, f"{case}: outputs have shape {tuple(want.shape)}, got {tuple(out.shape)}"
        pairs = [("outputs", out, want), ("final h", state[0], want_h[0]), ("final c", state[1], want_c[0])]
        for name, a, b in pairs:
            assert a.shape == b.shape, f"{case}: {name} has shape {tuple(b.shape)}, got {tuple(a.shape)}"
            off = (a - b).abs().max().item()
            assert off < 1e-5, f"{case}: {name} off by {off:.2g}. {_lstm_hint(fn)}"
        leaves = [*net.parameters(), x, h, c]
        sums = [o.square().sum() + s.sum() for o, s in ((out, state[1]), (want, want_c))]
        ours, theirs = (torch.autograd.grad(total, leaves) for total in sums)
        for name, a, b in zip(("w_ih", "w_hh", "b_ih", "b_hh", "x", "h", "c"), ours, theirs, strict=True):
            off = (a - b).abs().max() / (1 + b.abs().max())
            assert off < 1e-5, f"{case}: values fit, the gradient of {name} does not: is a state detached on the way?"
    return "four shapes, values and gradients, length 1 and batch 1 too"


def _lstm_hint(fn):
    """Which part is wrong: one unit, one step, one gate driven at a time."""

    def one(c, **bias):
        order = {"i": 0, "f": 1, "g": 2, "o": 3}
        b = torch.zeros(4)
        for gate, value in bias.items():
            b[order[gate]] = value
        zero = torch.zeros(1, 1)
        with torch.no_grad():
            args = (torch.zeros(1, 1, 1), (zero, torch.tensor([[c]])), torch.zeros(4, 1), torch.zeros(4, 1))
            out, (_, cell) = fn(*args, b, torch.zeros(4))
            _, (_, both) = fn(*args, torch.zeros(4), b)
        return out.item(), cell.item(), both.item()

    _, kept, other = one(2.0, i=-50.0, f=50.0, o=50.0)
    if abs(kept - 2) > 1e-3:
        return f"With i shut, f open and c = 2 the cell should stay 2, yours is {kept:.2f}: is the order i, f, g, o?"
    if abs(other - 2) > 1e-3:
        return "b_hh seems to be left out: both biases are added."
    out, cell, _ = one(0.0, i=50.0, f=-50.0, g=1.0, o=50.0)
    if abs(cell - math.tanh(1)) > 1e-3:
        return f"With i open and g's sum 1 the new content is tanh(1) = 0.76, yours {cell:.2f}: which squashing has g?"
    if abs(out - math.tanh(math.tanh(1))) > 1e-3:
        return "The cell is right and the output is not: h is o times a squashed c."
    return "Single gates are right: is the state carried from step to step, and along the time axis?"


def unroll_truncated(fn):
    def cell(x, state, w):
        h, c = state
        c = 0.9 * c + x * w
        return 0.5 * h + c.tanh(), c

    for time, window in [(1, 3), (6, 6), (7, 3), (6, 1), (9, 4)]:
        xs = torch.linspace(0.1, 1, time).view(time, 1, 1).requires_grad_()
        w = torch.tensor(0.7, requires_grad=True)
        start = tuple(torch.full((1, 1), v, requires_grad=True) for v in (0.3, -0.2))
        h, c = start
        want = []
        for x in xs:
            h, c = cell(x, (h, c), w)
            want.append(h)
        got = fn(cell, xs, start, (w,), window)
        assert isinstance(got, tuple) and len(got) == 2, "return (outputs, state), as unroll does"
        out, state = got
        assert isinstance(out, torch.Tensor) and out.shape == (time, 1, 1), "stack the outputs along time, first axis"
        assert isinstance(state, tuple) and len(state) == 2, "the state is a tuple, as the cell gives it"
        off = (out - torch.stack(want)).abs().max().item()
        assert off < 1e-6, (
            f"time {time}, window {window}: the outputs changed by {off:.2g}. Truncation leaves every value alone: "
            "carry the state, detached, do not reset it"
        )
        assert torch.allclose(state[1], c), "the final state is not that of the last step"
        assert out.requires_grad, "no gradient at all: the outputs themselves must not be detached"
        for last in reversed(range(time)):
            case = f"time {time}, window {window}: the gradient of output {last}"
            grads = [None] * 3
            if out[last].requires_grad:
                grads = torch.autograd.grad(out[last].sum(), (xs, *start), retain_graph=True, allow_unused=True)
            far = [0.0] * time if grads[0] is None else grads[0].flatten().tolist()
            reach = {t for t in range(time) if far[t] != 0}
            first = last // window * window
            assert not reach or min(reach) >= first, (
                f"{case} still reaches step {min(reach)}, before the cut at {first}: "
                "does every part of the state pass the cut detached?"
            )
            assert reach == set(range(first, last + 1)), (
                f"{case} should reach steps {first} to {last}, yours reaches {sorted(reach) or 'none'}: "
                f"cut only every {window} steps, counted from the start; every window learns, not only the last"
            )
            assert first or all(g is not None and g.item() != 0 for g in grads[1:]), (
                f"{case} should reach the initial state: nothing is cut before the first step, or a learned or "
                "handed-over start never trains"
            )
    return "five lengths and windows: values untouched, gradients end at the cuts"


def last_real(fn):
    g = torch.Generator().manual_seed(4)
    for batch, time, hidden in [(1, 1, 1), (3, 5, 2), (6, 9, 4)]:
        out = torch.randn(batch, time, hidden, generator=g)
        lengths = torch.randint(1, time + 1, (batch,), generator=g)
        lengths[0] = time
        out.requires_grad_()
        got = fn(out, lengths)
        assert isinstance(got, torch.Tensor) and got.shape == (batch, hidden), (
            f"for out {tuple(out.shape)} return shape {(batch, hidden)}, got {tuple(getattr(got, 'shape', ()))}"
        )
        for i, n in enumerate(lengths.tolist()):
            if not torch.equal(got[i], out[i, n - 1]):
                near = [t for t in range(time) if torch.equal(got[i], out[i, t])]
                yours = f"step {near[0]}" if near else "none of its steps"
                says = f"sequence {i} has {n} real steps, 0 to {n - 1}: its last is {n - 1}, you took {yours}"
                raise AssertionError(says)
        assert got.requires_grad, "the values are right and carry no gradient: stay in torch, or nothing is trained"
    return "lengths from 1 to the whole batch"


def spread_biases(fn):
    torch.manual_seed(0)
    for hidden, longest in [(4000, 10), (4000, 100), (3, 50)]:
        b = fn(hidden, longest)
        assert isinstance(b, torch.Tensor) and b.shape == (hidden,), (
            f"return a tensor of shape ({hidden},), got {tuple(getattr(b, 'shape', ()))}"
        )
        assert b.isfinite().all(), (
            f"longest {longest}: a bias is {b[~b.isfinite()][0].item()}: a memory of exactly one step asks for log 0"
        )
        memory = 1 / (1 - b.double().sigmoid())
        low, high = memory.min().item(), memory.max().item()
        assert low >= 1 and high <= longest * 1.001, (
            f"longest {longest}: memories 1/(1 − σ(b)) run from {low:.3g} to {high:.3g} steps, "
            f"they should lie between 1 and {longest}: solve 1/(1 − σ(b)) = T for b"
        )
        if hidden < 100:
            continue
        mean, spread = memory.mean().item(), memory.std().item()
        assert spread > 0.1 * longest, f"longest {longest}: all memories are near {mean:.1f} steps: each needs its own"
        assert abs(mean / ((1 + longest) / 2) - 1) < 0.1, (
            f"longest {longest}: the mean memory is {mean:.1f} steps; T drawn evenly from 1 to {longest} has mean "
            f"{(1 + longest) / 2:.1f}: draw T evenly, not b"
        )
    return "memories spread evenly from 1 step to the longest"


def _lstm(order="ifgo", both=True, squash=torch.tanh, out_tanh=True):
    def layer(x, state, w_ih, w_hh, b_ih, b_hh):
        h, c = state
        outputs = []
        for t in range(x.shape[1]):
            parts = x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + (b_hh if both else 0)
            gate = dict(zip(order, parts.chunk(4, dim=1), strict=True))
            c = gate["f"].sigmoid() * c + gate["i"].sigmoid() * squash(gate["g"])
            h = gate["o"].sigmoid() * (c.tanh() if out_tanh else c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)

    return layer


def _unroll(cut):
    def unroll(cell, xs, state, params, window):
        outputs = []
        for t, x in enumerate(xs):
            state = cut(t, window, state)
            state = cell(x, state, *params)
            outputs.append(state[0])
        return torch.stack(outputs), state

    return unroll


def _only_last_window(cell, xs, state, params, window):
    outputs = []
    for t, x in enumerate(xs):
        with torch.set_grad_enabled(t >= (len(xs) - 1) // window * window):
            state = cell(x, state, *params)
        outputs.append(state[0])
    return torch.stack(outputs), state


def _at(t, window):
    return t > 0 and t % window == 0


WRONG = {
    "memory_steps": {
        "rounds to the nearest": lambda bias, share: round(math.log(share) / math.log(1 / (1 + math.exp(-bias)))),
        "takes the bias for the share kept": lambda bias, share: max(1, math.ceil(math.log(share) / -abs(bias or 1))),
        "a time constant instead of a share": lambda bias, share: math.ceil(1 / (1 - 1 / (1 + math.exp(-bias)))),
    },
    "my_lstm": {
        "gates in ONNX order": _lstm(order="iofg"),
        "forgets the second bias": _lstm(both=False),
        "sigmoid on the content": _lstm(squash=torch.sigmoid),
        "output without tanh": _lstm(out_tanh=False),
    },
    "unroll_truncated": {
        "detaches h, not c": _unroll(lambda t, w, s: (s[0].detach(), *s[1:]) if _at(t, w) else s),
        "resets the state": _unroll(lambda t, w, s: tuple(torch.zeros_like(x) for x in s) if _at(t, w) else s),
        "cuts at every step": _unroll(lambda t, w, s: tuple(x.detach() for x in s)),
        "cuts before the first step too": _unroll(lambda t, w, s: tuple(x.detach() for x in s) if t % w == 0 else s),
        "keeps only the last window's gradient": _only_last_window,
        "cuts one step late": _unroll(lambda t, w, s: tuple(x.detach() for x in s) if _at(t - 1, w) else s),
    },
    "last_real": {
        "the last column": lambda out, lengths: out[:, -1],
        "one step late": lambda out, lengths: out[torch.arange(len(out)), lengths.clamp(max=out.shape[1] - 1)],
        "indexes in NumPy": lambda out, lengths: torch.from_numpy(
            out.detach().numpy()[range(len(out)), (lengths - 1).numpy()]
        ),
        "the mean over real steps": lambda out, lengths: torch.stack(
            [o[:n].mean(0) for o, n in zip(out, lengths.tolist(), strict=True)]
        ),
    },
    "spread_biases": {
        "one bias for all": lambda hidden, longest: torch.full((hidden,), math.log(longest - 1)),
        "b drawn evenly instead of T": lambda hidden, longest: math.log(longest - 1) * torch.rand(hidden),
        "whole numbers, 1 among them": lambda hidden, longest: (
            torch.randint(1, longest + 1, (hidden,)).float() - 1
        ).log(),
        "forgets the logarithm": lambda hidden, longest: 1 + (longest - 1) * torch.rand(hidden),
    },
}
