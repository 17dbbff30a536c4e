"""Checks of day 54: shards, sharded_step, ranks_needed, clip_shards. Ranks are threads here."""

import math
import threading
from functools import partial

import torch
import torch.nn.functional as F


class _Refused(AssertionError):
    """A collective was called wrongly from inside the learner's function: the check's words, not its crash."""


class _World:
    """N threads that meet in collectives, so that a function can be checked without starting processes."""

    def __init__(self, n):
        self.n, self.slots, self.results = n, [None] * n, [None] * n
        self.calls = [[] for _ in range(n)]
        self.barrier, self.errors = threading.Barrier(n), []

    def _exchange(self, rank, word, value):
        self.calls[rank].append(word)
        self.slots[rank] = (word, value.detach().clone())
        self.barrier.wait(5)
        seen = list(self.slots)
        self.barrier.wait(5)
        words = {w for w, _ in seen}
        if len(words) > 1:
            raise _Refused(f"the ranks stand in different collectives at once: {', '.join(sorted(words))}")
        lengths = {len(v) if v.ndim else 1 for _, v in seen}
        if len(lengths) > 1:
            raise _Refused(f"the ranks bring tensors of different lengths to {word}: {sorted(lengths)}")
        return [v for _, v in seen]

    def gather(self, rank, piece):
        return torch.cat(self._exchange(rank, "gather", piece))

    def reduce_scatter(self, rank, flat, length):
        if flat.shape != (length,):
            raise _Refused(
                f"reduce_scatter takes a flat vector of {length} numbers, as long as the gathered one; "
                f"yours has shape {tuple(flat.shape)}: was the padding dropped and not put back?"
        )
        return sum(self._exchange(rank, "reduce_scatter", flat)).chunk(self.n)[rank].clone()

    def all_reduce(self, rank, value):
        if not isinstance(value, torch.Tensor):
            raise _Refused(f"all_reduce takes a tensor, got {type(value).__name__}")
        return sum(self._exchange(rank, "all_reduce", value))

    def run(self, body):
        """``body(rank)`` on all ranks; the first real error is raised here."""

        def one(rank):
            try:
                self.results[rank] = body(rank)
            except threading.BrokenBarrierError:
                self.errors.append(
                    AssertionError("a rank waits in a collective that not all ranks call: this would hang")
                )
            except BaseException as err:
                self.errors.insert(0, err)
                self.barrier.abort()

        if self.n == 1:
            try:
                return [body(0)]
            except _Refused as err:
                raise AssertionError(str(err)) from None
        threads = [threading.Thread(target=one, args=(r,), daemon=True) for r in range(self.n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(12)
        if self.errors:
            real = [e for e in self.errors if "this would hang" not in str(e)]
            first = (real or self.errors)[0]
            if isinstance(first, _Refused):
                raise AssertionError(str(first))
            raise first
        assert not any(t.is_alive() for t in threads), "a rank never came back: it waits for the others"
        return self.results


def shards(fn):
    for n, world in [(3, 2), (8, 4), (5, 4), (2, 4), (7, 1), (1, 3)]:
        flat = torch.arange(1.0, n + 1)
        got = fn(flat.clone(), world)
        case = f"{n} numbers over {world} ranks"
        assert isinstance(got, list | tuple), f"return a list of tensors, got {type(got).__name__}"
        assert len(got) == world, f"{case}: every rank needs a piece, yours makes {len(got)} of {world}"
        lengths = [len(piece) for piece in got]
        assert len(set(lengths)) == 1, f"{case}: an all-gather needs pieces of one length, yours have {lengths}"
        joined = torch.cat(list(got))
        assert torch.equal(joined[:n], flat), f"{case}: laid end to end the pieces should begin with {flat.tolist()}"
        assert lengths[0] == math.ceil(n / world), (
            f"{case}: pieces of {math.ceil(n / world)} are enough, yours have {lengths[0]}: too much padding"
        )
        assert not joined[n:].any(), f"{case}: pad with zeros, so that norms and sums stay true; got {joined.tolist()}"
    return "six sizes, among them fewer numbers than ranks and nothing to pad"


def sharded_step(fn):
    for world, shapes in [(1, [(3,)]), (2, [(3,), (2, 2)]), (4, [(3, 5), (5,), (1,)]), (3, [(2,)])]:
        g = torch.Generator().manual_seed(world)
        sizes = [math.prod(s) for s in shapes]
        flat = torch.randn(sum(sizes), generator=g)
        padded = F.pad(flat, (0, -len(flat) % world))
        mix = torch.randn(6 * world, sum(sizes), generator=g)
        lr = 0.3

        def loss_fn(params, batch, shapes=shapes):
            got = [tuple(p.shape) for p in params]
            if got != [tuple(s) for s in shapes]:
                raise _Refused(f"loss_fn wants the parameters in their shapes {shapes}, got {got}")
            w = torch.cat([p.flatten() for p in params])
            return ((batch @ w).tanh() ** 2).mean()

        whole = flat.clone().requires_grad_()
        parts = [p.view(s) for p, s in zip(whole.split(sizes), shapes, strict=True)]
        grad = torch.autograd.grad(loss_fn(parts, mix), whole)[0]
        want = F.pad(flat - lr * grad, (0, len(padded) - len(flat))).chunk(world)
        w = _World(world)

        def body(rank, w=w, padded=padded, mix=mix, shapes=shapes, loss_fn=loss_fn, world=world, lr=lr):
            piece, before = padded.chunk(world)[rank].clone(), len(padded)
            out = fn(
                piece,
                shapes,
                loss_fn,
                mix.chunk(world)[rank],
                lr,
                partial(w.gather, rank),
                partial(w.reduce_scatter, rank, length=before),
            )
            return out.detach() if isinstance(out, torch.Tensor) else out

        got = w.run(body)
        for r in range(world):
            assert isinstance(got[r], torch.Tensor), f"return your new piece, a tensor; got {type(got[r]).__name__}"
            assert got[r].shape == want[r].shape, (
                f"{world} ranks: return your piece of {len(want[r])} numbers, not {tuple(got[r].shape)}; "
                "nobody may keep the whole"
            )
        move, right = torch.cat(got) - padded, torch.cat(want) - padded
        if not torch.allclose(move, right, atol=1e-6):
            if torch.allclose(move, right * world, atol=1e-5):
                raise AssertionError(
                    f"with {world} ranks your step is {world} times too long: the slices that come back are sums, "
                    "and one process on the whole batch would use the mean"
                )
            assert all("reduce_scatter" in calls for calls in w.calls), (
                f"with {world} ranks your step differs from one process: no rank asked the others for their gradients"
            )
            raise AssertionError(
                f"with {world} ranks and shapes {shapes} the new pieces differ from one process by "
                f"{(move - right).abs().max():.1e}; look at the order of the parameters and at the padding"
            )
        for word in ("gather", "reduce_scatter") if world > 1 else ():
            most = max(calls.count(word) for calls in w.calls)
            assert most <= 1, f"one {word} is enough for one step, yours makes {most}: every call costs a trip"
    return "one to four ranks equal one process, with and without padding"


def ranks_needed(fn):
    def fits(units, n, budget):
        return 16 * sum(units) / n + 8 * max(units) <= budget

    cases = [([10, 10, 10], 16 * 30 + 80), ([10, 10, 10], 200), ([10, 10, 10], 81), ([1, 1, 50], 500), ([100], 1700)]
    cases += [([7], 10_000), ([10, 10], 80), ([10, 90], 720), ([90, 10], 700)]
    for units, budget in cases:
        got = fn(list(units), budget)
        case = f"units {units}, budget {budget} bytes"
        if budget <= 8 * max(units):
            assert got is None, (
                f"{case}: the gathered unit alone takes {8 * max(units)} bytes on any number of ranks, "
                f"so no number is enough; you say {got}"
            )
            continue
        assert got is not None, f"{case}: there is an answer, the pieces shrink with every rank"
        assert isinstance(got, int), f"{case}: ranks come in whole numbers, got {got!r}"
        assert got >= 1, f"{case}: at least one rank, got {got}"
        assert fits(units, got, budget), (
            f"{case}: {got} ranks hold {16 * sum(units) / got + 8 * max(units):.0f} bytes each, over the budget: "
            "does your sum hold the unit that is gathered whole?"
        )
        assert got == 1 or not fits(units, got - 1, budget), f"{case}: {got - 1} ranks would be enough, you say {got}"
    return "nine budgets, three of them hopeless"


def clip_shards(fn):
    for world, max_norm in [(1, 0.5), (2, 0.5), (4, 1.0), (3, 1e6)]:
        g = torch.Generator().manual_seed(world)
        grads = [[torch.randn(4, generator=g) * (r + 1), torch.randn(3, generator=g)] for r in range(world)]
        grads[-1][1].zero_()  # a rank whose piece is padding
        before = [[t.clone() for t in own] for own in grads]
        total = torch.cat([t for own in before for t in own]).norm()
        held = [list(own) for own in grads]  # the tensors themselves: a list may be given others
        w = _World(world)
        got = w.run(
            lambda rank, w=w, grads=grads, max_norm=max_norm: fn(grads[rank], max_norm, partial(w.all_reduce, rank))
        )
        for rank, norm in enumerate(got):
            assert norm is not None, "return the norm before clipping"
            value = float(norm)
            own = float(torch.cat(before[rank]).norm())
            if not math.isclose(value, float(total), rel_tol=1e-4):
                why = ""
                if math.isclose(value, own, rel_tol=1e-4):
                    why = ": that is the norm of this rank's shards alone, and each rank would clip by another factor"
                elif math.isclose(value, sum(float(torch.cat(b).norm()) for b in before), rel_tol=1e-4):
                    why = ": that is the sum of the ranks' norms; which powers add up over disjoint pieces?"
                said = f"{world} ranks: the whole gradient has norm {total:.4f}, you say {value:.4f}"
                raise AssertionError(said + why)
            scale = min(1.0, max_norm / float(total))
            for now, old in zip(held[rank], before[rank], strict=True):
                assert torch.allclose(now, old * scale, rtol=1e-3), (
                    f"{world} ranks, max_norm {max_norm}: scale each tensor (not the list) in place by {scale:.4f}"
                    + (", that is left alone, since the norm is small enough" if scale == 1 else "")
                )
    return "one to four ranks, and a gradient that needs no clipping"


# ── wrong answers that tempt ────────────────────────────────────────────────────


def _chunk_only(flat, world):
    return list(torch.chunk(flat, world))


def _always_pad(flat, world):
    return list(F.pad(flat, (0, world - len(flat) % world)).chunk(world))


def _repeat_last(flat, world):
    pad = -len(flat) % world
    return list(torch.cat([flat, flat[-1:].expand(pad)]).chunk(world))


def _step(piece, shapes, loss_fn, batch, lr, gather, slice_of):
    full = gather(piece)
    sizes = [math.prod(s) for s in shapes]
    params = [p.view(s).clone().requires_grad_() for p, s in zip(full[: sum(sizes)].split(sizes), shapes, strict=True)]
    flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss_fn(params, batch), params)])
    return piece - lr * slice_of(flat, full)


def _sum_not_mean(piece, shapes, loss_fn, batch, lr, gather, reduce_scatter):
    def slice_of(flat, full):
        return reduce_scatter(F.pad(flat, (0, len(full) - len(flat))))

    return _step(piece, shapes, loss_fn, batch, lr, gather, slice_of)


def _padding_forgotten(piece, shapes, loss_fn, batch, lr, gather, reduce_scatter):
    def slice_of(flat, full):
        return reduce_scatter(flat) * len(piece) / len(full)

    return _step(piece, shapes, loss_fn, batch, lr, gather, slice_of)


def _own_gradient(piece, shapes, loss_fn, batch, lr, gather, reduce_scatter):
    def slice_of(flat, full):  # knows its place by comparing: no word from the others
        padded = F.pad(flat, (0, len(full) - len(flat)))
        at = next(i for i in range(0, len(full), len(piece)) if torch.equal(full[i : i + len(piece)], piece))
        return padded[at : at + len(piece)]

    return _step(piece, shapes, loss_fn, batch, lr, gather, slice_of)


def _keeps_the_whole(piece, shapes, loss_fn, batch, lr, gather, reduce_scatter):
    def slice_of(flat, full):
        return reduce_scatter(F.pad(flat, (0, len(full) - len(flat)))) * len(piece) / len(full)

    return gather(_step(piece, shapes, loss_fn, batch, lr, gather, slice_of))


def _pieces_only(units, budget):
    return max(1, math.ceil(16 * sum(units) / budget))


def _everything_shrinks(units, budget):
    return max(1, math.ceil((16 * sum(units) + 8 * max(units)) / budget))


def _local_norm(grads, max_norm, all_reduce):
    norm = torch.cat(grads).norm()
    for g in grads:
        g.mul_(min(1.0, max_norm / float(norm)))
    return norm


def _sum_of_norms(grads, max_norm, all_reduce):
    norm = all_reduce(torch.cat(grads).norm())
    for g in grads:
        g.mul_(min(1.0, max_norm / float(norm)))
    return norm


def _new_tensors(grads, max_norm, all_reduce):
    norm = all_reduce(torch.cat(grads).square().sum()).sqrt()
    for i, g in enumerate(grads):
        grads[i] = g * min(1.0, max_norm / float(norm))
    return norm


def _always_scale(grads, max_norm, all_reduce):
    norm = all_reduce(torch.cat(grads).square().sum()).sqrt()
    for g in grads:
        g.mul_(max_norm / norm)
    return norm


WRONG = {
    "shards": {
        "chunk without padding": _chunk_only,
        "pads when nothing is missing": _always_pad,
        "pads with the last number": _repeat_last,
    },
    "sharded_step": {
        "sum instead of mean": _sum_not_mean,
        "padding not put back": _padding_forgotten,
        "slice of one's own gradient": _own_gradient,
        "returns the whole vector": _keeps_the_whole,
    },
    "ranks_needed": {
        "forgets the gathered unit": _pieces_only,
        "divides the gathered unit, too": _everything_shrinks,
    },
    "clip_shards": {
        "norm of the local shards": _local_norm,
        "sum of the ranks' norms": _sum_of_norms,
        "scales small gradients up": _always_scale,
        "new tensors in the list": _new_tensors,
    },
}
