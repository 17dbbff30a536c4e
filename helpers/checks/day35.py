"""Checks of day 35: the other pairing, rotary scores, unfinished pairs, the shift of a sinusoid."""

import math

import torch


def _theta(d, base=10000.0):
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def _turn(x, positions, theta, neighbours=False):
    """Complex multiplication, in float64."""
    x = x.double()
    a, b = (x[..., 0::2], x[..., 1::2]) if neighbours else x.chunk(2, dim=-1)
    z = torch.complex(a, b) * torch.polar(torch.ones(()).double(), positions.double()[:, None] * theta.double())
    return torch.stack([z.real, z.imag], -1).flatten(-2) if neighbours else torch.cat([z.real, z.imag], -1)


def rotate_neighbours(fn):
    g = torch.Generator().manual_seed(35)
    for shape, n, d in [((), 1, 2), ((), 4, 6), ((3,), 5, 8), ((2, 3), 7, 64)]:
        x = torch.randn(*shape, n, d, generator=g)
        positions = torch.randint(0, 50, (n,), generator=g)
        theta = torch.rand(d // 2, generator=g)
        before = x.clone()
        got = fn(x, positions, theta)
        assert torch.equal(x, before), "x itself was changed: the layer above may still need it; make a new tensor"
        case = f"x {tuple(x.shape)}, positions {positions.tolist()[:5]}"
        assert isinstance(got, torch.Tensor) and got.shape == x.shape, f"{case}: return a tensor of the shape of x"
        want = _turn(x, positions, theta, neighbours=True)
        far = (got - want).abs().max().item()
        assert far < 1e-4, f"{case}: off by {far:.2g}. {_which(got, x, positions, theta)}"
    return "four shapes, any positions and frequencies"


def _which(got, x, positions, theta):
    tries = {
        "these are the halves i and i + d/2; here coordinate 2i turns with its neighbour 2i + 1": _turn(
            x, positions, theta
        ),
        "the pairs are right and turn the wrong way: at a quarter turn (1, 0) becomes (0, 1)": _turn(
            x, -positions, theta, neighbours=True
        ),
        "positions are given, they need not be 0, 1, 2, …": _turn(x, torch.arange(x.shape[-2]), theta, neighbours=True),
    }
    right = _turn(x, positions, theta, neighbours=True)
    apart = torch.cat([right[..., 0::2], right[..., 1::2]], -1)
    tries["the pairs are right, but the result is not in the order of x: put each pair back where it was"] = apart
    for hint, value in tries.items():
        if (got - value).abs().max() < 1e-4:
            return hint[0].upper() + hint[1:]
    return "Is each pair (a, b) turned as a whole, both numbers by the same angle, position times frequency?"


def rope_scores(fn):
    g = torch.Generator().manual_seed(36)
    for batch, heads, kv_heads, n, m, d, base in [
        (1, 1, 1, 1, 1, 2, 10000.0),
        (2, 3, 3, 4, 4, 8, 10000.0),
        (1, 2, 2, 5, 3, 16, 500000.0),
        (2, 4, 2, 3, 6, 8, 10000.0),
        (1, 6, 1, 2, 5, 64, 100000.0),
    ]:
        q, k = torch.randn(batch, heads, n, d, generator=g), torch.randn(batch, kv_heads, m, d, generator=g)
        at_q, at_k = (torch.randint(0, 40, (length,), generator=g) for length in (n, m))
        got = fn(q, k, at_q, at_k, base)
        case = f"batch {batch}, {heads} heads on {kv_heads}, n {n}, m {m}, d {d}, base {base:,.0f}"
        assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
        assert got.shape == (batch, heads, n, m), f"{case}: scores are {(batch, heads, n, m)}, got {tuple(got.shape)}"

        def scores(a, b, q=q, k=k, d=d):
            b = b.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
            return a @ b.transpose(-2, -1) / math.sqrt(d)

        theta = _theta(d, base)
        far = (got - scores(_turn(q, at_q, theta), _turn(k, at_k, theta))).abs().max().item()
        if far < 1e-4:
            continue
        i = torch.arange(d // 2)
        tries = {
            "nothing has turned: where do the positions enter?": scores(q.double(), k.double()),
            "both turn the wrong way: at a quarter turn (1, 0) becomes (0, 1)": scores(
                _turn(q, -at_q, theta), _turn(k, -at_k, theta)
            ),
            "the query is turned, the key is not: then the score depends on its place, not on the distance": scores(
                _turn(q, at_q, theta), k.double()
            ),
            "pairs are (2i, 2i + 1); in Llama's pairing i belongs to i + d/2": scores(
                _turn(q, at_q, theta, True), _turn(k, at_k, theta, True)
            ),
            "the frequencies fall too slowly or too fast: the exponent of pair i is −2i/d": scores(
                _turn(q, at_q, base ** (-i / d)), _turn(k, at_k, base ** (-i / d))
            ),
            "the base is given; it is not always 10,000": scores(_turn(q, at_q, _theta(d)), _turn(k, at_k, _theta(d))),
            "query and key turn in opposite directions: the SUM of their positions is left, not the difference": scores(
                _turn(q, at_q, theta), _turn(k, -at_k, theta)
            ),
            "the positions of the tokens are given, they need not start at 0": scores(
                _turn(q, torch.arange(n), theta), _turn(k, torch.arange(m), theta)
            ),
            "scores are divided by √d": scores(_turn(q, at_q, theta), _turn(k, at_k, theta), d=1),
        }
        hint = next((h for h, t in tries.items() if (got - t).abs().max() < 1e-4), "")
        if not hint and kv_heads < heads:
            hint = "with a set of keys for each head it is right: which set does query head 1 read?"
        raise AssertionError(f"{case}: off by {far:.2g}. {hint or 'turn both, each pair by position times frequency'}")
    return "five shapes, three bases, shared keys, positions of any kind"


def unfinished_pairs(fn):
    for d, base, length in [
        (128, 10000, 4096),
        (128, 500000, 8192),
        (64, 100000, 2048),
        (64, 10000, 6),
        (64, 10000, 7),
        (2, 10000, 100),
        (16, 100, 100000),
    ]:
        turns = length * _theta(d, float(base)) / (2 * math.pi)
        want, got = int((turns < 1).sum()), fn(d, base, length)
        assert isinstance(got, int), f"return a whole number, got {type(got).__name__}"
        if got == want:
            continue
        radian = int((turns * 2 * math.pi < 1).sum())
        hint = "which pairs are the slow ones, and what has the fastest turned by after `length` positions?"
        if got == d // 2 - want:
            hint = "that is the number of pairs that DO finish a turn"
        elif got == radian:
            hint = "a full turn is 2π, not 1 radian"
        elif want and got == 2 * want or got > d // 2:
            hint = f"a head of {d} numbers has {d // 2} pairs"
        elif got == int((turns < 0.5).sum()):
            hint = "half a turn is not a full turn"
        raise AssertionError(f"head width {d}, base {base:,}, length {length:,}: {want} pairs, you say {got}: {hint}")
    return "seven models, from all pairs to none"


def shift_matrix(fn):
    for k, width in [(0, 4), (1, 2), (3, 8), (-5, 16), (50, 64)]:
        got = fn(k, width)
        case = f"k = {k}, width {width}"
        assert isinstance(got, torch.Tensor) and got.shape == (width, width), (
            f"{case}: return a matrix {width} × {width}"
        )
        p = torch.tensor([0, 1, 7, 30, 99], dtype=torch.float64)
        theta = _theta(width)

        def encode(p, theta=theta):
            return torch.cat([(p[:, None] * theta).sin(), (p[:, None] * theta).cos()], -1)

        after = encode(p) @ got.double().T
        far = (after - encode(p + k)).abs().max().item()
        hint = "write sin(p + k) and cos(p + k) by the addition theorems and read off the four blocks"
        if (after - encode(p - k)).abs().max() < 1e-4:
            hint = "it shifts by −k: where does the minus sign of cos(p + k) stand, and do you multiply from the left?"
        elif far < 1e-4 * 50 and far >= 1e-4:
            hint = "nearly right: is it exact for EVERY p, or fitted to some?"
        assert far < 1e-4, f"{case}: M PE(p) is off from PE(p + {k}) by {far:.2g}: {hint}"
    return "five offsets, also none and backwards, at five places each"


def _changes(x, p, f):
    x.copy_(_turn(x, p, f, True))
    return x


def _scores_with(turn_q, turn_k, d_scale=True, tile=False):
    def fn(q, k, positions_q, positions_k, base):
        d, times = q.shape[-1], q.shape[1] // k.shape[1]
        a, b = turn_q(q, positions_q, d, base), turn_k(k, positions_k, d, base)
        b = b.repeat(1, times, 1, 1) if tile else b.repeat_interleave(times, dim=1)
        return a @ b.transpose(-2, -1) / (math.sqrt(d) if d_scale else 1)

    return fn


def _right(x, p, d, base):
    return _turn(x, p, _theta(d, base))


def _shift_with(top_sin, low_sin, interleaved=False):
    def fn(k, width):
        angle = k * _theta(width)
        cos, sin = angle.cos().diag(), angle.sin().diag()
        m = torch.cat([torch.cat([cos, top_sin * sin], 1), torch.cat([low_sin * sin, cos], 1)])
        if interleaved:
            order = torch.arange(width).view(2, -1).T.flatten()
            m = m[order][:, order]
        return m

    return fn


def _count(turned):
    def fn(head_width, base, length):
        return int(turned(head_width, float(base), length).sum())

    return fn


WRONG = {
    "rotate_neighbours": {
        "halves": lambda x, p, f: _turn(x, p, f).float(),
        "turned backwards": lambda x, p, f: _turn(x, -p, f, True).float(),
        "pairs not put back": lambda x, p, f: torch.cat(
            [_turn(x, p, f, True)[..., 0::2], _turn(x, p, f, True)[..., 1::2]], -1
        ).float(),
        "changes x": _changes,
        "positions 0, 1, 2, …": lambda x, p, f: _turn(x, torch.arange(len(p)), f, True).float(),
    },
    "rope_scores": {
        "nothing turned": _scores_with(*[lambda x, p, d, base: x.double()] * 2),
        "both turned backwards": _scores_with(*[lambda x, p, d, base: _turn(x, -p, _theta(d, base))] * 2),
        "key not turned": _scores_with(_right, lambda x, p, d, base: x.double()),
        "neighbours": _scores_with(*[lambda x, p, d, base: _turn(x, p, _theta(d, base), True)] * 2),
        "exponent i/d": _scores_with(*[lambda x, p, d, base: _turn(x, p, base ** (-torch.arange(d // 2) / d))] * 2),
        "base 10,000 always": _scores_with(*[lambda x, p, d, base: _turn(x, p, _theta(d))] * 2),
        "key turned backwards": _scores_with(_right, lambda x, p, d, base: _turn(x, -p, _theta(d, base))),
        "positions from 0": _scores_with(*[lambda x, p, d, base: _turn(x, torch.arange(len(p)), _theta(d, base))] * 2),
        "not scaled": _scores_with(_right, _right, d_scale=False),
        "sets tiled": _scores_with(_right, _right, tile=True),
    },
    "unfinished_pairs": {
        "one radian": _count(lambda d, base, n: n * _theta(d, base) < 1),
        "those that finish": _count(lambda d, base, n: n * _theta(d, base) >= 2 * math.pi),
        "every coordinate": _count(lambda d, base, n: n * _theta(d, base).repeat(2) < 2 * math.pi),
        "half a turn": _count(lambda d, base, n: n * _theta(d, base) < math.pi),
    },
    "shift_matrix": {
        "shifts back": _shift_with(-1, 1),
        "both signs plus": _shift_with(1, 1),
        "neighbours": _shift_with(1, -1, interleaved=True),
        "the identity": lambda k, width: torch.eye(width),
    },
}
