"""Built in day 21, PyTorch tensors: ``runner taught`` copies it from day21_pytorch_tensors.ipynb."""

import torch
import torch.nn.functional as F
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def shares(a, b):
    """Whether two tensors look at the same storage."""
    one, other = a.untyped_storage(), b.untyped_storage()
    return one.data_ptr() == other.data_ptr()


def flat_is_view(t):
    """Whether all axes of t merge into one without a copy."""
    axes = [(n, s) for n, s in zip(t.shape, t.stride()) if n != 1]
    merges = [s == n2 * s2 for (_, s), (n2, s2) in zip(axes, axes[1:])]
    return t.numel() == 0 or all(merges)


def kept(fn, *args):
    """Bytes that the graph of fn(*args) keeps, leaves aside; the result.

    Each storage counts once. Leaves that require grad (weights) live
    anyway; what was computed, and input data, is kept for backward.
    """
    stores = {}

    def pack(t):
        if not (t.is_leaf and t.requires_grad):
            store = t.untyped_storage()
            stores[store.data_ptr()] = (t, store.nbytes())
        return t
    with saved_tensors_hooks(pack, lambda t: t):
        out = fn(*args)
    return sum(n for _, n in stores.values()), out


class Gate(Function):
    """silu(g) * u, keeping g and u only."""

    generate_vmap_rule = True

    @staticmethod
    def forward(g, u):
        return F.silu(g) * u

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, up):
        g, u = ctx.saved_tensors
        s = torch.sigmoid(g)
        return up * u * s * (1 + g * (1 - s)), up * g * s


class Live(TorchDispatchMode):
    """Bytes of the storages that are alive after each operation."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor):
                ref = StorageWeakRef(t.untyped_storage())
                self.alive[ref.cdata] = ref, t.untyped_storage().nbytes()
        self.alive = {k: v for k, v in self.alive.items()
                      if not v[0].expired()}
        self.peak = max(self.peak, sum(n for _, n in self.alive.values()))
        return out
