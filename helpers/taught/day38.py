"""Built in day 38, Pretraining a GPT: ``runner taught`` copies it from day38_pretrain_gpt.ipynb."""

import io
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from helpers.taught.day14 import muon
from helpers.taught.day34 import causal_mask
from helpers.taught.day36 import initialise
from helpers.taught.day37 import Decoder


def pack(documents, length, end):
    """Ids and places in their documents, each (rows, length + 1)."""
    ids, places = [], []
    for one in documents:
        ids += [end, *map(int, one)]
        places += range(len(one) + 1)
    rows = max(len(ids) - 1, 0) // length            # the rest is dropped
    return [torch.tensor(x[:rows * length + 1], dtype=torch.long)
            .unfold(0, length + 1, length) if rows else
            torch.zeros(0, length + 1, dtype=torch.long)
            for x in (ids, places)]


def same_document(places):
    """places (rows, n): who may look, bool (rows, 1, n, n)."""
    own = (places == 0).cumsum(-1)
    same = own[:, None, :, None] == own[:, None, None, :]
    return same & causal_mask(places.shape[-1], device=places.device)


def gpt(c, seed=0):
    """A Decoder of Config c with fresh weights (on the CPU)."""
    torch.manual_seed(seed)
    write = (2 * c.depth) ** -0.5               # two writes a block
    return initialise(Decoder(c), (write, write), std=0.02)


def next_loss(model, w, **look):
    """Mean -ln p of w[:, 1:] given what stands before; a scalar."""
    logits = model(w[:, :-1], **look).float().flatten(0, 1)
    return F.cross_entropy(logits, w[:, 1:].flatten())


class Stacked(torch.optim.Optimizer):
    """Day 14's Muon; matrices of one shape share one batch."""
    def __init__(self, params, lr, decay=0.1):
        super().__init__(params, dict(lr=lr, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for same in shapes.values():
                stacked_step(same, self.state, group["lr"],
                             group["decay"])


def stacked_step(same, memory, lr, decay):
    """One step of Muon for parameters of one shape."""
    state = {"m": torch.stack([memory[p].get("m", torch.zeros_like(p))
                               for p in same])}
    grads = torch.stack([p.grad for p in same])
    new = muon(torch.stack(same), grads, state, lr, decay=decay)
    for p, w, m in zip(same, new, state["m"]):
        p.copy_(w)
        memory[p]["m"] = m.clone()


def optimisers(model, rate=0.015, table=0.012, decay=0.1):
    """Muon for the blocks' matrices, AdamW for table and gains."""
    inside = [p for p in model.blocks.parameters() if p.dim() == 2]
    taken = {id(p) for p in inside}
    rest = [p for p in model.parameters() if id(p) not in taken]
    adam = torch.optim.AdamW(rest, table, betas=(0.9, 0.95),
                             weight_decay=0.0)
    both = [Stacked(inside, rate, decay), adam]
    for one in both:
        for group in one.param_groups:
            group["peak"] = group["lr"]
    return both


def rows_at(step, batch, total, seed=0):
    """Numbers of the rows of a step; each row once in an epoch."""
    epoch, k = divmod(step, total // batch)
    dice = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    return torch.randperm(total, generator=dice)[k * batch:][:batch]


@dataclass
class Run:
    """A training run; `losses` has one entry a step, in nats."""
    model: nn.Module
    optimisers: list
    step: int = 0
    losses: list = field(default_factory=list)


def advance(run, rows, steps, factor, batch=16, seed=0, places=None,
            half=None, forward=None):
    """Train on; factor(step) scales the peak rates; half: a dtype."""
    device = next(run.model.parameters()).device
    forward = run.model if forward is None else forward
    for step in range(run.step, run.step + steps):
        some, look = rows_at(step, batch, len(rows), seed), {}
        if places is not None:
            own = places[some, :-1].to(device)
            look = dict(mask=same_document(own), positions=own)
        with torch.autocast(device.type, half, enabled=half is not None):
            loss = next_loss(forward, rows[some].to(device), **look)
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        step_all(run.optimisers, factor(step))
        run.losses.append(loss.item())
    run.step += steps
    return run


def step_all(optimisers, factor):
    """One step of each at factor times its peak rate."""
    for one in optimisers:
        for group in one.param_groups:
            group["lr"] = group["peak"] * factor
        one.step()
        one.zero_grad()


def freeze(run):
    """Everything a run needs to go on, as bytes."""
    file = io.BytesIO()
    torch.save(dict(model=run.model.state_dict(), step=run.step,
                    losses=run.losses, optimisers=[
                        one.state_dict() for one in run.optimisers]), file)
    return file.getvalue()


def thaw(run, frozen):
    """Put a frozen state into a fresh run of the same shapes."""
    kept = torch.load(io.BytesIO(frozen), weights_only=True)
    run.model.load_state_dict(kept["model"])
    for one, state in zip(run.optimisers, kept["optimisers"]):
        one.load_state_dict(state)
    run.step, run.losses = kept["step"], list(kept["losses"])
    return run


def fresh(c, seed=0, device="cpu", **rates):
    """A run of a new GPT."""
    model = gpt(c, seed).to(device)
    return Run(model, optimisers(model, **rates))


@torch.no_grad()
def token_nats(model, ids, length, batch=32):
    """-ln p of ids[1:], (n,), at least half a row before each."""
    device, n = next(model.parameters()).device, len(ids) - 1
    last, done, out = max(n - length, 0), 0, []
    starts = [*range(0, last, length // 2), last]
    for i in range(0, len(starts), batch):
        some = starts[i:i + batch]
        w = torch.stack([ids[s:s + length + 1] for s in some]).to(device)
        logits = model(w[:, :-1]).float().flatten(0, 1)
        nats = F.cross_entropy(logits, w[:, 1:].flatten(),
                               reduction="none").view(len(some), -1)
        for s, row in zip(some, nats.cpu()):
            out.append(row[done - s:])
            done = s + len(row)
    return torch.cat(out)


@torch.no_grad()
def sample(model, ids, count, length, dice, temperature=0.8):
    """ids (list) and `count` more, drawn from the last `length`."""
    device = next(model.parameters()).device
    for _ in range(count):
        seen = torch.tensor([ids[-length:]], device=device)
        logits = model(seen)[0, -1].float().cpu() / temperature
        p = logits.softmax(-1)
        ids = [*ids, int(torch.multinomial(p, 1, generator=dice))]
    return ids
