"""Checks of day 22, PyTorch training: decay groups, fair shares, a loop that survives, names in a pickle."""

import collections
import contextlib
import enum
import io
import os
import pickle
import pickletools
import random
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from helpers.taught import day22


def decay_groups(fn):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.norm = nn.LayerNorm(4)
            self.scale = nn.Parameter(torch.ones(()))
            self.head = nn.Linear(4, 7)
            self.head.weight = self.embed.weight

    frozen = day22.build("mlp")
    for p in frozen.hidden.parameters():
        p.requires_grad_(False)
    models = {"the CNN": day22.build("cnn"), "tied weights": Tied(), "a frozen layer": frozen, "no weights": nn.ReLU()}
    for name, model in models.items():
        groups = fn(model, 0.1)
        assert isinstance(groups, list) and len(groups) == 2, "return a list of two groups (dictionaries)"
        assert all(isinstance(g, dict) and {"params", "weight_decay"} <= set(g) for g in groups), (
            "a group is a dictionary with 'params' and 'weight_decay'"
        )
        first, second = (list(g["params"]) for g in groups)
        assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (0.1, 0), (
            "the first group has weight_decay=decay, the second 0"
        )
        got = collections.Counter(id(p) for p in first + second)
        want = {id(p) for p in model.parameters() if p.requires_grad}
        twice = [n for n in got.values() if n > 1]
        assert not twice, f"{name}: a tensor stands {max(twice or [0])} times in the groups; AdamW would refuse it"
        extra = set(got) - {id(p) for p in model.parameters()}
        assert not extra, f"{name}: {len(extra)} tensor(s) are not parameters of the model: buffers, or copies?"
        assert not set(got) - want, f"{name}: a frozen parameter is in a group"
        assert set(got) == want, f"{name}: {len(want - set(got))} learned parameter(s) are in no group"
        assert all(p.ndim >= 2 for p in first), (
            f"{name}: something with fewer than two axes is decayed (a norm's weight has no 'bias' in its name)"
        )
        assert all(p.ndim < 2 for p in second), f"{name}: a matrix or a kernel is in the group without decay"
    torch.optim.AdamW(fn(models["the CNN"], 0.1), lr=1e-3)
    return "a CNN, tied weights, frozen layers, a model without weights"


def fair_share(fn):
    rng = random.Random(22)
    cases = [([500, 500, 4], 3), ([10], 4), ([0, 5, 0, 3, 0], 2), ([2], 5), ([], 3), ([0, 0], 2), ([7, 7], 1)]
    cases += [([rng.randrange(9) for _ in range(rng.randrange(1, 7))], rng.randrange(1, 6)) for _ in range(60)]
    for sizes, readers in cases:
        shares = fn(list(sizes), readers)
        case = f"sizes {sizes}, {readers} reader(s)"
        assert len(shares) == readers, f"{case}: one list for each reader, got {len(shares)}"
        counts, walked = [], []
        for pieces in shares:
            n = 0
            for piece in pieces:
                shard, begin, end = piece
                assert 0 <= begin < end <= sizes[shard], (
                    f"{case}: piece {tuple(piece)} is empty or leaves its shard; begin counts from 0, end is excluded"
                )
                n += end - begin
                walked += [(shard, i) for i in range(begin, end)]
            counts.append(n)
        everything = [(shard, i) for shard, n in enumerate(sizes) for i in range(n)]
        assert len(walked) == len(set(walked)), f"{case}: a text is given twice"
        assert set(walked) == set(everything), f"{case}: {len(set(everything) - set(walked))} text(s) go to nobody"
        assert max(counts) - min(counts) <= 1, (
            f"{case}: the counts are {counts}; they may differ by one, so shards must be cut, and what is left over "
            "spread"
        )
        assert walked == everything, f"{case}: reader 0 has the first texts, reader 1 the next: the order is another"
    return f"{len(cases)} sets of shards: empty ones, more readers than texts, one reader"


class _Dead(Exception):
    pass


class _Shaky(Dataset):
    """Numbers that draw from Python's generator each time, as an augmentation does."""

    def __init__(self):
        g = torch.Generator().manual_seed(2)
        self.x, self.y = torch.randn(22, 5, generator=g), torch.randint(0, 3, (22,), generator=g)

    def __len__(self):
        return 22

    def __getitem__(self, i):
        return self.x[i] * random.choice([1.0, -1.0, 0.5]), self.y[i]


def _parts(init):
    torch.manual_seed(init)
    random.seed(init)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "order": day22.Shuffle(22, 1),
        "rng": day22.Rng(),
    }


def _life(fn, parts, path, every, steps):
    """Call the learner's loop until ``steps`` steps were made; True if it came to its end."""
    left = [steps]

    def after():
        left[0] -= 1
        if left[0] == 0:
            raise _Dead

    try:
        fn(parts, _Shaky(), 3, 4, path, every, after)
    except _Dead:
        return False, steps
    return True, steps - left[0]


def train_resumable(fn):
    with tempfile.TemporaryDirectory() as folder:
        return _survives(fn, Path(folder))


def _survives(fn, folder):
    plain = []
    for own in (True, False):
        plain.append(_parts(1))
        _loop(own=own)(plain[-1], _Shaky(), 3, 4, folder / "plain", 1000, lambda: None)
    want = _parts(1)
    ended, steps = _life(fn, want, folder / "straight", 1000, 10**6)
    assert ended and steps == 18, f"22 samples in batches of 4, 3 epochs: 18 steps, after() was called {steps} times"
    assert any(_same(want, one) for one in plain), (
        "without any interruption the weights already differ from the plain loop: one optimiser and one scheduler "
        "step a batch, in train mode, in the order of parts['order'], with order.epoch moved on"
    )
    plans = [([5], 3), ([6], 6), ([6], 3), ([7], 1), ([4, 5], 4), ([11, 1, 4], 2), ([13], 4), ([12, 3], 5), ([17], 2)]
    for number, (deaths, every) in enumerate(plans):
        path, made = folder / f"run{number}", 0
        parts = _parts(1)
        for life, steps in enumerate(deaths):
            case = f"a checkpoint every {every}, death after step {steps} of life {life + 1}"
            ended, _ = _life(fn, parts, path, every, steps)
            assert not ended, f"{case}: your loop went on; an error in after() must come out"
            made += steps
            due = made // every * every
            assert path.exists() == (due > 0), f"{case}: after {made} steps a checkpoint should " + (
                "exist" if due else "not exist yet"
            )
            if not due:
                break
            saved = torch.load(path, weights_only=True)["order"]
            place = saved["epoch"] * 6 + -(-saved["done"] // 4)
            assert place == due, (
                f"{case}: {made} steps are made, the checkpoint says {place} ({saved}), it should say {due}: count "
                "a batch when its step is done, before you save, and count over all lives"
            )
            made, parts = due, _parts(100 + number)
        if not path.exists():
            continue
        try:
            ended, steps = _life(fn, parts, path, every, 10**6)
        except ZeroDivisionError:
            raise AssertionError(
                f"{case}: the checkpoint lies at the last step of an epoch, the next life finds nothing left in it"
            ) from None
        assert steps == 18 - made, f"{case}: the last life should make {18 - made} steps, it made {steps}"
        assert _same(parts, want), (
            f"{case}: the final weights, buffers or moments differ from the uninterrupted run: what was not saved or "
            "loaded, or which random number was drawn once more (does your DataLoader have a generator of its own)?"
        )
    return f"an uninterrupted run and {len(plans)} interrupted ones, equal in every bit"


def _same(a, b):
    def tensors(parts):
        state = parts["optimizer"].state_dict()["state"]
        return [*parts["model"].state_dict().values(), *(t for p in state.values() for t in p.values())]

    pairs = list(zip(tensors(a), tensors(b), strict=False))
    return len(tensors(a)) == len(tensors(b)) and all(torch.equal(x, y) for x, y in pairs)


_RAN = []


def _mark(*given):
    _RAN.append(given)
    return len


class _Runs:
    def __reduce__(self):
        return _mark, ("called",)


class _RunsTwice:
    def __reduce__(self):
        return getattr, (_Runs(), "append")


class _Colour(enum.Enum):
    RED = 1


def names_in(fn):
    buffer = io.BytesIO()
    torch.save({"model": day22.build("mlp").state_dict(), "rng": torch.get_rng_state()}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        program = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    honest = {"collections OrderedDict", "torch FloatStorage", "torch ByteStorage", "torch._utils _rebuild_tensor_v2"}
    here = __name__
    things = {
        "plain data": ([1, "torch load", {"a": (2.0, None)}], set()),
        "a call": (_Runs(), {f"{here} _mark"}),
        "a call of what a call gave": (_RunsTwice(), {f"{here} _mark", "builtins getattr"}),
        "two names of one module": ([os.path.join, os.path.split], {"posixpath join", "posixpath split"}),
        "a name used three times": ([collections.OrderedDict(a=1)] * 2, {"collections OrderedDict"}),
        "keys that are objects": ({_Colour.RED: 1}, {f"{here} _Colour"}),
        "a set and a deque": ([{1, 2}, collections.deque([3])], None),
        "decoy strings before a call": (["os", "system", _Runs(), "x", "y"], {f"{here} _mark"}),
    }
    cases = []
    for name, (thing, want) in things.items():
        for protocol in range(6):
            code = pickle.dumps(thing, protocol)
            cases.append((f"{name}, protocol {protocol}", code, _names(code) if want is None else want))
    cases.append(("a checkpoint of torch.save", program, honest))
    _RAN.clear()
    for name, code, want in cases:
        got = fn(code)
        assert not _RAN, f"{name}: your function RAN the code in the pickle"
        assert isinstance(got, set), f"return a set of names, got {type(got).__name__}"
        if "protocol 0" in name or "protocol 1" in name or "protocol 2" in name:
            ours = {n.replace("__builtin__", "builtins") for n in got} - {"copy_reg _reconstructor"}
            missing = {w for w in want if w.replace("__builtin__", "builtins") not in ours}
        else:
            missing = want - got
            assert got <= want or want <= got, f"{name}: found {sorted(got)}, the names are {sorted(want)}"
        assert not missing, (
            f"{name}: {sorted(missing)} not found, you found {sorted(got) or 'nothing'}: names come by GLOBAL, and by "
            "STACK_GLOBAL from the stack, where a piece may be fetched from the memo"
        )
        if not want:
            assert not got, f"{name}: it names nothing, you found {sorted(got)}"
        assert not any("system" in n for n in got), f"{name}: 'os' and 'system' are only strings there"
    return f"{len(cases)} pickles: six protocols, memos, persistent ids; none was run"


class _Shell(dict):
    __hash__ = object.__hash__

    def __new__(cls, *args, **named):
        return dict.__new__(cls)

    def __init__(self, *args, **named):
        pass

    def _take(self, *args, **named):
        return _Shell()

    __call__ = append = extend = add = _take

    def __setstate__(self, state):
        pass


def _names(program):
    found = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(f"{module} {name}")
            return _Shell

        def persistent_load(self, key):
            return _Shell()

    Reader(io.BytesIO(program)).load()
    return found


def _only_global(program):
    return {arg for op, arg, _ in pickletools.genops(program) if op.name == "GLOBAL"}


def _last_strings(program):
    found, strings = set(), []
    for op, arg, _ in pickletools.genops(program):
        if op.name == "GLOBAL":
            found.add(arg)
        elif "UNICODE" in op.name:
            strings.append(arg)
        elif op.name == "STACK_GLOBAL":
            found.add(" ".join(strings[-2:]))
    return found


def _really_loads(program):
    found = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(f"{module} {name}")
            return super().find_class(module, name)

        def persistent_load(self, key):
            return torch.zeros(1).untyped_storage()

    try:
        Reader(io.BytesIO(program)).load()
    except Exception:
        return found
    return found


def _stops_at_first(program):
    found = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(f"{module} {name}")
            raise LookupError

        def persistent_load(self, key):
            return None

    with contextlib.suppress(LookupError):
        Reader(io.BytesIO(program)).load()
    return found


def _loop(*, early=False, own=True, guard=True, skip="", schedule=True, anew=False):
    def train(parts, data, epochs, batch, path, every, after):
        if Path(path).exists():
            day22.load_checkpoint(path, {k: p for k, p in parts.items() if k != skip})
        order, model = parts["order"], parts["model"]
        if anew:
            order.done = 0
        loader = DataLoader(data, batch, sampler=order, generator=torch.Generator() if own else None)
        while order.epoch < epochs:
            if not guard and order.done == order.n:
                raise ZeroDivisionError
            model.train()
            done = order.done
            for x, y in loader if done < order.n else ():
                if early:
                    done += len(y)
                    order.done = done
                    step = order.epoch * 6 + -(-done // batch)
                    if step % every == 0:
                        day22.save_checkpoint(path, parts)
                parts["optimizer"].zero_grad()
                F.cross_entropy(model(x), y).backward()
                parts["optimizer"].step()
                if schedule:
                    parts["scheduler"].step()
                if not early:
                    done += len(y)
                    order.done = done
                    step = order.epoch * 6 + -(-done // batch)
                    if step % every == 0:
                        day22.save_checkpoint(path, parts)
                after()
            order.epoch, order.done = order.epoch + 1, 0

    return train


_good = _loop()


def _whole_shards(sizes, readers):
    return [[(i, 0, n) for i, n in enumerate(sizes) if i % readers == r and n] for r in range(readers)]


def _cut(total, readers, how):
    if how == "rest to the last":
        each = total // readers
        return [each * r for r in range(readers)] + [total]
    each = -(-total // readers)
    return [min(total, each * r) for r in range(readers + 1)]


def _by_cuts(how, empty=False):
    def share(sizes, readers):
        cuts, shares, starts = _cut(sum(sizes), readers, how), [], [0]
        for n in sizes:
            starts.append(starts[-1] + n)
        if how == "fair":
            cuts = [sum(sizes) * r // readers for r in range(readers + 1)]
        for low, high in zip(cuts, cuts[1:], strict=False):
            pieces = []
            for i, start in enumerate(starts[:-1]):
                begin, end = max(low, start) - start, min(high, starts[i + 1]) - start
                if begin < end or (empty and begin == end):
                    pieces.append((i, begin, end))
            shares.append(pieces)
        return shares

    return share


def _each_shard_cut(sizes, readers):
    shares = [[] for _ in range(readers)]
    for i, n in enumerate(sizes):
        for r in range(readers):
            begin, end = n * r // readers, n * (r + 1) // readers
            if begin < end:
                shares[r].append((i, begin, end))
    return shares


def _groups(choose, named=None):
    def groups(model, decay):
        pairs = list((named or (lambda m: m.named_parameters()))(model))
        yes = [p for k, p in pairs if choose(k, p)]
        no = [p for k, p in pairs if not choose(k, p)]
        return [{"params": yes, "weight_decay": decay}, {"params": no, "weight_decay": 0.0}]

    return groups


WRONG = {
    "decay_groups": {
        "by the name 'bias'": _groups(
            lambda k, p: "bias" not in k, lambda m: ((k, p) for k, p in m.named_parameters() if p.requires_grad)
        ),
        "frozen ones, too": _groups(lambda k, p: p.ndim >= 2),
        "walks state_dict": _groups(lambda k, p: p.ndim >= 2, lambda m: m.state_dict(keep_vars=True).items()),
        "tied weights twice": _groups(
            lambda k, p: p.ndim >= 2,
            lambda m: ((k, p) for k, p in m.named_parameters(remove_duplicate=False) if p.requires_grad),
        ),
        "decays everything": lambda model, decay: [
            {"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": decay},
            {"params": [], "weight_decay": 0.0},
        ],
    },
    "fair_share": {
        "whole shards": _whole_shards,
        "the rest to the last reader": _by_cuts("rest to the last"),
        "rounds each share up": _by_cuts("up"),
        "each shard cut for all": _each_shard_cut,
        "empty pieces": _by_cuts("fair", empty=True),
    },
    "train_resumable": {
        "counts a batch before its step": _loop(early=True),
        "a loader without its own generator": _loop(own=False),
        "nothing left in the epoch": _loop(guard=False),
        "does not load the random states": _loop(skip="rng"),
        "does not load the optimiser": _loop(skip="optimizer"),
        "does not load the schedule": _loop(skip="scheduler"),
        "forgets the schedule": _loop(schedule=False),
        "begins the epoch anew": _loop(anew=True),
    },
    "names_in": {
        "GLOBAL only": _only_global,
        "the last two strings": _last_strings,
        "loads it": _really_loads,
        "stops at the first name": _stops_at_first,
    },
}
