"""Checks of day 38: packing, who decays, the rows of a step, when a goal is reached."""

import math

import numpy as np
import torch
from torch import nn


def pack_rows(fn):
    cases = [
        ([[5, 6, 7], [8, 9], [4]], 4, 0),
        ([[1, 2]], 2, 9),
        ([[1], [], [2, 3, 4, 5, 6, 7]], 3, 0),
        ([[1, 2, 3]], 5, 0),
        ([], 4, 0),
        ([[7, 7, 7, 7, 7, 7, 7, 7]], 1, 3),
    ]
    rng = np.random.default_rng(38)
    for length in (1, 4, 7):
        documents = [rng.integers(1, 50, int(k)).tolist() for k in rng.integers(0, 12, 9)]
        cases.append((documents, length, 50))
    for documents, length, end in cases:
        kept = [list(d) for d in documents]
        got = fn([list(d) for d in documents], length, end)
        assert isinstance(got, tuple) and len(got) == 2, "return a pair: rows of ids, rows of places"
        ids, places = ([[int(x) for x in row] for row in part] for part in got)
        want = _packed(kept, length, end)
        if (ids, places) == want:
            continue
        case = f"documents {kept}, length {length}, end {end}"
        if ids != want[0]:
            chain = [x for d in kept for x in (end, *d)]
            apart = [chain[i : i + length + 1] for i in range(0, len(chain) - length, length + 1)]
            behind = [x for d in kept for x in (*d, end)]
            rivals = {
                "neighbouring rows share an id: without it one target in each row is lost": apart,
                "the sign stands before its document, so that the first token is predicted from something": [
                    behind[i : i + length + 1] for i in range(0, len(behind) - length, length)
                ],
                "a row is length + 1 ids: inputs without the last, targets without the first": [
                    chain[i : i + length] for i in range(0, len(chain) - length + 1, length)
                ],
            }
            why = next((w for w, r in rivals.items() if r == ids), "chain all documents, then cut full rows only")
            raise AssertionError(f"{case}: the rows are {want[0]}, yours {ids}: {why}")
        raise AssertionError(
            f"{case}: the places are {want[1]}, yours {places}: a place counts from its document's sign, which is 0, "
            "and goes on counting where a row is cut"
        )
    return "the paper example, empty documents, none at all, too little for a row, random ones"


def _packed(documents, length, end):
    ids = [x for d in documents for x in (end, *d)]
    places = [k for d in documents for k in range(len(d) + 1)]
    starts = range(0, max(len(ids) - 1, 0) // length * length, length)
    return [ids[i : i + length + 1] for i in starts], [places[i : i + length + 1] for i in starts]


class _Odd(nn.Module):
    """Tied table, biases, a norm, a 3-D kernel, a scalar, and a frozen matrix."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.inner = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 4, bias=False))
        self.normaliser = nn.Linear(4, 4)  # a matrix whose name says norm
        self.kernel = nn.Conv1d(4, 4, 3)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight


def split_decay(fn):
    from helpers.taught.day37 import Config, Decoder

    for model in (_Odd(), Decoder(Config(11, 8, 2, 2, 12)), Decoder(Config(11, 8, 2, 1, 12, tied=False))):
        got = fn(model)
        assert isinstance(got, tuple | list) and len(got) == 2, "return two lists: decayed, not decayed"
        names = {id(p): name for name, p in model.named_parameters(remove_duplicate=False)}
        kind = type(model).__name__.strip("_")
        lists = [list(part) for part in got]
        for part in lists:
            for p in part:
                assert isinstance(p, torch.nn.Parameter), "the lists hold parameters, not names"
        every = [id(p) for part in lists for p in part]
        twice = [names[i] for i in set(every) if every.count(i) > 1]
        assert not twice, f"{kind}: {twice[0]} is listed twice: a tied matrix is one parameter with two names"
        still = [names[id(p)] for part in lists for p in part if not p.requires_grad]
        assert not still, f"{kind}: {still[0]} is frozen; an optimiser that decays it would change it all the same"
        tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        for p in model.parameters():
            if not p.requires_grad:
                continue
            name, want = names[id(p)], p.dim() >= 2 and id(p) not in tables
            assert id(p) in every, f"{kind}: {name} is in neither list, so nobody would train it"
            found = any(p is q for q in lists[0])
            hint = (
                "it is an embedding's row table, also where it is the head"
                if id(p) in tables
                else "matrices and kernels decay, whatever they are called; what has one axis or none does not"
            )
            assert found == want, f"{kind}: {name} {tuple(p.shape)} {'does not decay' if found else 'decays'}: {hint}"
    return "two Decoders, tied and not, and a model with a misleading name, a scalar, a kernel and a frozen matrix"


def batch_rows(fn):
    state = torch.get_rng_state()
    try:
        for total, batch, seed in ((12, 4, 0), (10, 3, 1), (7, 7, 0), (5, 1, 3), (64, 16, 2)):
            case, per = f"{total} rows, batch {batch}, seed {seed}", total // batch
            epochs = []
            for epoch in range(4):
                rows = [list(map(int, fn(epoch * per + k, batch, total, seed))) for k in range(per)]
                flat = [r for row in rows for r in row]
                assert all(len(row) == batch for row in rows), f"{case}: each step has {batch} rows, one had another"
                assert all(0 <= r < total for r in flat), f"{case}: row numbers go from 0 to {total - 1}"
                assert len(set(flat)) == len(flat), f"{case}: a row came twice within epoch {epoch}: {rows}"
                epochs.append(flat)
            step = 2 * per
            torch.manual_seed(5)
            first = list(map(int, fn(step, batch, total, seed)))
            torch.manual_seed(6)
            torch.rand(3)
            again = list(map(int, fn(step, batch, total, seed)))
            assert first == again == epochs[2][:batch], (
                f"{case}: step {step} gave {epochs[2][:batch]}, then {first} and {again}: the rows depend on the four "
                "arguments only, not on what was drawn before"
            )
            if total > 4:
                same = all(e == epochs[0] for e in epochs)
                assert not same, f"{case}: every epoch has the same order; draw it anew from seed and epoch"
                assert epochs[0] != sorted(epochs[0]) or epochs[1] != sorted(epochs[1]), f"{case}: nothing is shuffled"
                other = [int(r) for k in range(4 * per) for r in fn(k, batch, total, seed + 1)]
                mine = [r for e in epochs for r in e]
                assert other != mine, f"{case}: another seed gives the same order"
                shifted = other[: 3 * per * batch] == mine[per * batch :]
                assert not shifted, f"{case}: seed + 1 repeats seed's orders one epoch later: not seed + epoch"
            if total >= 10:
                theirs = [[int(r) for k in range(e * per, (e + 1) * per) for r in fn(k, batch, total, s)]
                          for s in (seed + 1, seed + 2) for e in range(4)]  # fmt: skip
                shared = next((e for e, flat in enumerate(epochs) if flat in theirs), None)
                assert shared is None, (
                    f"{case}: epoch {shared}'s order comes again under another seed: mix seed and epoch so that no two "
                    "pairs give one number"
                )
        before = torch.get_rng_state()
        fn(3, 2, 9, 0)
        assert torch.equal(before, torch.get_rng_state()), (
            "your function moves torch's global generator (manual_seed does): sampling or dropout would then repeat; "
            "use a torch.Generator of its own"
        )
        seen = {int(r) for k in range(40 * 3) for r in fn(k, 3, 10, 0)}
        assert len(seen) == 10, f"in 40 epochs rows {sorted({*range(10)} - seen)} never came: vary who is left out"
    finally:
        torch.set_rng_state(state)
    return "four epochs each, odd totals, a second seed, the global generator untouched"


def steps_to(fn):
    rng = np.random.default_rng(3)
    cases = [(0.0, 5.0, 0.2), (1.0, 4.0, 0.5), (1.5, 9.0, 0.8)]
    cases += [tuple(rng.uniform([0, 2, 0.1], [1.5, 20, 1])) for _ in range(4)]
    for floor, A, b in cases:
        steps = np.array([100.0, 200.0, 400.0, 800.0])
        bits = floor + A * steps**-b
        goal = floor + A * 3000**-b
        got = float(fn(list(steps), list(bits), goal, floor))
        case = f"floor {floor:.2f}, A {A:.2f}, b {b:.2f}"
        assert math.isfinite(got) and got > 0, f"{case}: got {got}"
        if abs(got / 3000 - 1) > 1e-3:
            no_floor = np.polyfit(np.log(steps), np.log(bits), 1)
            plain = math.exp((math.log(goal) - no_floor[1]) / no_floor[0])
            why = "fit log(bits - floor) against log(steps), then solve for the goal"
            if floor and abs(got / plain - 1) < 1e-3:
                why = "that ignores the floor, in the fit or in the goal"
            raise AssertionError(f"{case}: the law reaches {goal:.3f} at 3000 steps, yours says {got:,.0f}: {why}")
        for low in (floor, floor - 0.1):
            never = fn(list(steps), list(bits), low, floor)
            assert never == math.inf, f"{case}: a goal of {low:.2f} is never reached (math.inf), yours says {never}"
    noisy = fn([1, 10, 100], [3.0, 2.0, 1.6], 1.3, 1.0)
    a, c = np.polyfit(np.log([1, 10, 100]), np.log([2.0, 1.0, 0.6]), 1)
    want = math.exp((math.log(0.3) - c) / a)
    assert abs(noisy / want - 1) < 1e-3, (
        f"points that lie on no law: least squares of the logarithms gives {want:,.0f} steps, yours {noisy:,.0f}: use "
        "all points, not two"
    )
    rising = fn([10, 20, 40], [2.0, 2.1, 2.2], 1.8, 1.0)
    assert rising == math.inf, f"bits that rise with the steps never reach a lower goal: math.inf, yours says {rising}"
    return "exact laws with floors, goals at and below the floor, points off any law, a rising curve"


def _pack_apart(documents, length, end):
    ids = [x for d in documents for x in (end, *d)]
    places = [k for d in documents for k in range(len(d) + 1)]
    starts = range(0, len(ids) - length, length + 1)
    return [ids[i : i + length + 1] for i in starts], [places[i : i + length + 1] for i in starts]


def _pack_behind(documents, length, end):
    ids = [x for d in documents for x in (*d, end)]
    places = [k for d in documents for k in range(len(d) + 1)]
    starts = range(0, len(ids) - length, length)
    return [ids[i : i + length + 1] for i in starts], [places[i : i + length + 1] for i in starts]


def _pack_restart(documents, length, end):
    ids, _ = _packed(documents, length, end)
    places = []
    for row in ids:
        place, out = -1, []
        for x in row:
            place = 0 if x == end else place + 1
            out.append(place)
        places.append(out)
    return ids, places


def _pack_short(documents, length, end):
    ids = [x for d in documents for x in (end, *d)]
    places = [k for d in documents for k in range(len(d) + 1)]
    starts = range(0, len(ids) - length + 1, length)
    return [ids[i : i + length] for i in starts], [places[i : i + length] for i in starts]


def _split_all(model):
    return [p for p in model.parameters() if p.requires_grad], []


def _split_axes(model):
    live = [p for p in model.parameters() if p.requires_grad]
    return [p for p in live if p.dim() >= 2], [p for p in live if p.dim() < 2]


def _split_name(model):
    live = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    out = [p for n, p in live if "norm" in n or "bias" in n or "embed" in n]
    return [p for n, p in live if not any(p is q for q in out)], out


def _split_modules(model):
    out = ([], [])
    for m in model.modules():
        for p in m.parameters(recurse=False):
            out[p.dim() < 2 or isinstance(m, nn.Embedding)].append(p)
    return out


def _rows_global(step, batch, total, seed=0):
    return torch.randperm(total)[:batch]


def _rows_same(step, batch, total, seed=0):
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    k = step % (total // batch)
    return order[k * batch : (k + 1) * batch]


def _rows_sum(step, batch, total, seed=0):
    epoch, k = divmod(step, total // batch)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed + epoch))[k * batch : (k + 1) * batch]


def _rows_xor(step, batch, total, seed=0):
    epoch, k = divmod(step, total // batch)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed ^ epoch))[k * batch : (k + 1) * batch]


def _rows_same_rest(step, batch, total, seed=0):
    epoch, k = divmod(step, total // batch)
    dice = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    return torch.randperm(total // batch * batch, generator=dice)[k * batch : (k + 1) * batch]


def _rows_replace(step, batch, total, seed=0):
    dice = torch.Generator().manual_seed(1_000_003 * seed + step)
    return torch.randint(total, (batch,), generator=dice)


def _rows_manual(step, batch, total, seed=0):
    epoch, k = divmod(step, total // batch)
    torch.manual_seed(1_000_003 * seed + epoch)
    return torch.randperm(total)[k * batch : (k + 1) * batch]


def _steps_floorless(steps, bits, goal, floor):
    slope, level = np.polyfit(np.log(steps), np.log(bits), 1)
    return math.inf if goal <= floor else math.exp((math.log(goal) - level) / slope)


def _steps_straight(steps, bits, goal, floor):
    slope, level = np.polyfit(steps, bits, 1)
    return math.inf if goal <= floor else (goal - level) / slope


def _steps_ends(steps, bits, goal, floor):
    if goal <= floor:
        return math.inf
    b = math.log((bits[0] - floor) / (bits[-1] - floor)) / math.log(steps[-1] / steps[0])
    return steps[-1] * ((bits[-1] - floor) / (goal - floor)) ** (1 / b) if b > 0 else math.inf


WRONG = {
    "pack_rows": {
        "rows that share no id": _pack_apart,
        "the sign behind the document": _pack_behind,
        "places that restart with each row": _pack_restart,
        "rows of length ids": _pack_short,
    },
    "split_decay": {
        "everything decays": _split_all,
        "by the number of axes alone": _split_axes,
        "by name": _split_name,
        "module by module": _split_modules,
    },
    "batch_rows": {
        "the global generator": _rows_global,
        "one order for all epochs": _rows_same,
        "seed plus epoch": _rows_sum,
        "seed xor epoch": _rows_xor,
        "the same rest left out for ever": _rows_same_rest,
        "drawn with replacement": _rows_replace,
        "manual_seed": _rows_manual,
    },
    "steps_to": {
        "no floor": _steps_floorless,
        "a straight line": _steps_straight,
        "first and last point only": _steps_ends,
    },
}
