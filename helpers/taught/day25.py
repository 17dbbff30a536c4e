"""Built in day 25, MPI: ``runner taught`` copies it from day25_mpi.ipynb."""

import time

import numpy as np


class Wire:
    """An MPI communicator that counts, and may be slow as a network.

    alpha: seconds a message, beta: seconds a byte.
    """

    def __init__(self, comm, alpha=0.0, beta=0.0):
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.alpha, self.beta, self.log = alpha, beta, []

    def send(self, x, to):
        self._finish([self.comm.Isend(x, to)], x.nbytes, (to, x.nbytes))

    def recv(self, x, source):
        self._finish([self.comm.Irecv(x, source)], x.nbytes)

    def swap(self, give, to, take, source):
        """Send one array and receive another, both at once."""
        jobs = [self.comm.Isend(give, to), self.comm.Irecv(take, source)]
        self._finish(jobs, max(give.nbytes, take.nbytes), (to, give.nbytes))


def _finish(self, jobs, nbytes, sent=None):
    """Wait for the messages, sleep as long as a network takes, log."""
    begin, slow = time.perf_counter(), self.alpha + self.beta * nbytes
    for job in jobs:
        while slow and not job.Test():      # asleep, not spinning
            time.sleep(5e-4)
        job.Wait()
    if slow:
        time.sleep(slow)
    if sent is not None:
        self.log.append((begin, time.perf_counter(), *sent))


Wire._finish = _finish


def broadcast(wire, x, root=0):
    """Binomial tree: the array of rank `root` comes to all.  x (n,)"""
    p, me, step = wire.size, (wire.rank - root) % wire.size, 1
    while step < p:                        # ranks below `step` have it
        if me < step and me + step < p:
            wire.send(x, (me + step + root) % p)
        elif step <= me < 2 * step:
            wire.recv(x, (me - step + root) % p)
        step *= 2


def reduce(wire, x, root=0):
    """The same tree backwards: the sum comes to rank `root`, in place."""
    p, me, box = wire.size, (wire.rank - root) % wire.size, np.empty_like(x)
    step = 1 << max(p - 1, 0).bit_length() >> 1
    while step:
        if me < step and me + step < p:
            wire.recv(box, (me + step + root) % p)
            x += box
        elif step <= me < 2 * step:
            wire.send(x, (me - step + root) % p)
        step //= 2


def reduce_scatter(wire, x):
    """In place: piece number `rank` of x becomes the sum of all ranks'."""
    p, me, part = wire.size, wire.rank, np.array_split(x, wire.size)
    box = np.empty_like(part[0])                # the first are the longest
    for hop in range(1, p):
        give, take = part[(me - hop) % p], part[(me - hop - 1) % p]
        came = box[:take.size]
        wire.swap(give, (me + 1) % p, came, (me - 1) % p)
        take += came


def all_gather(wire, x):
    """In place: every rank's piece number `rank` comes to all."""
    p, me, part = wire.size, wire.rank, np.array_split(x, wire.size)
    for hop in range(p - 1):
        wire.swap(part[(me - hop) % p], (me + 1) % p,
                  part[(me - hop - 1) % p], (me - 1) % p)


def tree(wire, x):
    """All-reduce in place: 2 ceil(log2 p) steps of n bytes."""
    reduce(wire, x)
    broadcast(wire, x)


def ring(wire, x):
    """All-reduce in place: 2 (p - 1) steps of n / p bytes."""
    reduce_scatter(wire, x)
    all_gather(wire, x)


def doubling(wire, x):
    """All-reduce in place: log2 p steps of n bytes, p a power of 2."""
    box, step = np.empty_like(x), 1
    if wire.size & (wire.size - 1):
        raise ValueError(f"{wire.size} ranks: not a power of two")
    while step < wire.size:                 # partners differ in one bit
        wire.swap(x, wire.rank ^ step, box, wire.rank ^ step)
        x += box
        step *= 2
