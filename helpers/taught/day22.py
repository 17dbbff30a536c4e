"""Built in day 22, PyTorch training: ``runner taught`` copies it from day22_pytorch_training.ipynb."""

import os
import random

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset, get_worker_info

from helpers import datasets


class MLP(nn.Module):
    """Digits (batch, 1, 8, 8) to logits (batch, 10); one hidden layer."""

    def __init__(self, width=64, drop=0.25):
        super().__init__()
        self.hidden = nn.Linear(64, width)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = F.relu(self.hidden(x.flatten(1)))        # (batch, width)
        return self.head(self.drop(x))               # (batch, 10)


class Net(nn.Module):
    """Digits (batch, 1, 8, 8) to logits (batch, 10): a small CNN."""

    def __init__(self, width=16, drop=0.25):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(8 * width, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.conv1(x)))         # (batch, width, 8, 8)
        x = F.avg_pool2d(x, 2)                       # (batch, width, 4, 4)
        x = F.relu(self.conv2(x))                    # (b, 2 width, 4, 4)
        x = F.avg_pool2d(x, 2)                       # (b, 2 width, 2, 2)
        return self.head(self.drop(x.flatten(1)))    # (batch, 10)


def build(kind="cnn", **sizes):
    """A fresh "mlp" or "cnn"; sizes: width, drop. Seed torch before."""
    return {"mlp": MLP, "cnn": Net}[kind](**sizes)


def digit_tensors(seed=0, held=360):
    """Digits: x (n, 1, 8, 8) in 0..1, y (n,), then the same held out."""
    images, labels = datasets.digits()
    order = torch.randperm(len(labels),
                           generator=torch.Generator().manual_seed(seed))
    x = torch.from_numpy(images)[order].unsqueeze(1)
    y = torch.from_numpy(labels)[order]
    return x[held:], y[held:], x[:held], y[:held]


class Sharded(IterableDataset):
    """make(paths) over this reader's share of the paths.

    make: a function from paths to an iterator. Readers are the workers of
    all ranks; each path goes to exactly one of them.
    """

    def __init__(self, make, paths, rank=0, ranks=1):
        self.make, self.paths = make, list(paths)
        self.rank, self.ranks = rank, ranks

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        mine = self.rank * workers + worker
        return iter(self.make(self.paths[mine::self.ranks * workers]))


def train_epoch(model, loader, optimizer, scheduler=None, after=None):
    """One pass; the mean loss of an example. after(loss) at each step."""
    model.train()
    device = next(model.parameters()).device
    total, seen = 0.0, 0
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total, seen = total + loss.item() * len(y), seen + len(y)
        if after is not None:
            after(loss.item())
    return total / seen


@torch.no_grad()
def evaluate(model, x, y):
    """Mean loss and accuracy on tensors x, y, in eval mode."""
    was = model.training
    model.eval()
    device = next(model.parameters()).device
    logits = model(x.to(device)).cpu()
    model.train(was)
    right = (logits.argmax(1) == y).float().mean().item()
    return F.cross_entropy(logits, y).item(), right


class Shuffle(torch.utils.data.Sampler):
    """Indices of n in the order of (seed, epoch), from `done` on."""

    def __init__(self, n, seed=0):
        self.n, self.seed, self.epoch, self.done = n, seed, 0, 0

    def __len__(self):
        return self.n - self.done

    def __iter__(self):
        draw = torch.Generator().manual_seed(1000003 * self.seed
                                             + self.epoch)
        order = torch.randperm(self.n, generator=draw).tolist()
        return iter(order[self.done:])

    def state_dict(self):
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state):
        self.epoch, self.done = state["epoch"], state["done"]


class Rng:
    """The global random numbers of torch and Python, to save."""

    def state_dict(self):
        return {"torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all(),    # [] without
                "python": random.getstate()}

    def load_state_dict(self, state):
        torch.set_rng_state(state["torch"])
        torch.cuda.set_rng_state_all(state["cuda"])
        random.setstate(state["python"])


def save_checkpoint(path, parts):
    """Each part's state_dict to one file, which is whole or not there."""
    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save(state, f"{path}.part")
    os.replace(f"{path}.part", path)


def load_checkpoint(path, parts):
    """Each part gets its state back; the file may hold no code."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
