"""Built in day 09, Markov chains: ``runner taught`` copies it from day09_markov_chains.ipynb."""

import math
import re

import numpy as np

from helpers import datasets


def unwrap(text):
    """One line a paragraph, single spaces."""
    parts = re.split(r"\n\s*\n", text)
    return "\n".join(" ".join(p.split()) for p in parts if p.strip())


def held_out():
    """Bytes to learn from, to choose settings on, and to be judged on.

    Five novels; the first part of Persuasion; its last 131,072 bytes.
    """
    novels = {title: unwrap(text).encode()
              for title, text in datasets.books().items()}
    unread = novels.pop("Persuasion")
    cut = len(unread) - 2 ** 17
    return b"\n".join(novels.values()), unread[:cut], unread[cut:]


def codes(data):
    """Bytes as integers, (len(data),) int64."""
    return np.frombuffer(data, np.uint8).astype(np.int64)


def distances(p, pi, steps):
    """d(t) for t = 0 … steps: distance to pi from the worst start."""
    power, path = np.eye(len(p)), []
    for _ in range(steps + 1):
        path.append(np.abs(power - pi).sum(1).max() / 2)
        power = power @ p
    return np.array(path)


def long_run_factor(path, low=1e-11):
    """Mean factor per step over the last half above rounding."""
    last = int((path > low).sum()) - 1
    first = last // 2
    return (path[last] / path[first]) ** (1 / (last - first))


def grams(x, top, symbols=256):
    """For k = 1 … top: distinct k-grams, how often, left neighbours."""
    tables, ids = [], np.zeros(len(x) + 1, np.int64)
    for k in range(1, top + 1):
        spots = max(len(x) - k + 1, 0)
        numbers = ids[:spots] * symbols + x[k - 1:]
        keys, new, often = np.unique(numbers, return_inverse=True,
                                     return_counts=True)
        if tables:
            tail = np.zeros(len(keys), np.int64)
            tail[new] = ids[1:spots + 1]     # without the first character
            tables[-1][2] = np.bincount(tail, minlength=len(tables[-1][0]))
        tables.append([keys, often, None])
        ids = new
    return tables


def discounts(counts, single=False):
    """What to take off counts of 0, 1, 2, and 3 or more."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    if n[1:5].all():
        d = n[1] / (n[1] + 2 * n[2])
        off = [j - (j + 1) * d * n[j + 1] / n[j] for j in (1, 2, 3)]
        if single or min(off) > 0:
            return np.array([0, d, d, d] if single else [0, *off])
    return np.array([0, 0.5, 0.5, 0.5])


def smooth(keys, counts, contexts, single=False, symbols=256):
    """Discounted share of each gram, spare share of each context."""
    start = keys // symbols
    off = discounts(counts, single)[np.minimum(counts, 3)]
    total = np.bincount(start, counts, contexts)
    spare = np.bincount(start, off, contexts) / np.maximum(total, 1)
    share = (counts - off) / np.maximum(total, 1)[start]
    return share, np.where(total > 0, spare, 1.0)


def rows_of(tables, y, symbols=256):
    """For each k: row of the k-gram that starts at each place, or -1."""
    found = [np.zeros(len(y) + 1, np.int64)]
    for k, (keys, *_) in enumerate(tables, 1):
        start = found[-1][:max(len(y) - k + 1, 0)]
        wanted = np.where(start >= 0, start * symbols + y[k - 1:], -1)
        at = np.searchsorted(keys, wanted)
        at = np.minimum(at, max(len(keys) - 1, 0))
        hit = keys[at] == wanted if len(keys) else np.zeros(len(at), bool)
        found.append(np.where(hit, at, -1))
    return found


def deepen(p, table, column, contexts, seen, row, **how):
    """From p with memory k - 2 to p with k - 1, at every place."""
    p, late = p.copy(), len(p) - len(seen)
    if table[column] is not None and len(table[0]):
        share, spare = smooth(table[0], table[column], contexts, **how)
        p[late:] *= np.where(seen >= 0, spare[seen], 1)
        p[late:] += np.where(row >= 0, share[row], 0)
    return p


def bits_by_order(tables, y, lower=2, symbols=256, **how):
    """Bits of every symbol of y for n = 1 … top: (top, len(y)).

    lower: column that counts shorter grams: 2 neighbours, 1 occurrences.
    """
    rows, contexts = rows_of(tables, y, symbols), 1
    p, bits = np.full(len(y), 1 / symbols), []
    for k, table in enumerate(tables, 1):
        seen = rows[k - 1][:len(rows[k])]
        place = dict(contexts=contexts, seen=seen, row=rows[k])
        how |= dict(symbols=symbols)
        longest = deepen(p, table, 1, **place, **how)
        bits.append(-np.log2(longest))
        p = deepen(p, table, lower, **place, **how)
        contexts = len(table[0])
    return np.array(bits)


def ready(tables, n, symbols=256):
    """Model of order n for `next_symbol`: keys, share, spare per level."""
    levels, contexts = [], 1
    for k, table in enumerate(tables[:n], 1):
        counts = table[1] if k == n else table[2]
        levels.append((table[0], *smooth(table[0], counts, contexts,
                                         symbols=symbols)))
        contexts = len(table[0])
    return levels


def next_symbol(levels, context, symbols=256):
    """Probability of every symbol after the codes `context`."""
    p = np.full(symbols, 1 / symbols)
    for k, (keys, share, spare) in enumerate(levels[:len(context) + 1]):
        row = 0
        for level, code in zip(levels, context[len(context) - k:]):
            wanted = row * symbols + code
            row = int(np.searchsorted(level[0], wanted))
            if row == len(level[0]) or level[0][row] != wanted:
                return p                     # never seen: nor any longer
        if row < len(spare):
            a, b = np.searchsorted(keys, [row * symbols,
                                          (row + 1) * symbols])
            p = p * spare[row]
            p[keys[a:b] - row * symbols] += share[a:b]
    return p


def kneser_ney_bits_per_byte(n=9, tables=None):
    """Bits a byte of the held-out text, learnt from the five novels.

    tables: the novels' grams, if they are at hand already.
    """
    train, _, test = held_out()
    tables = grams(codes(train), n) if tables is None else tables
    return float(bits_by_order(tables[:n], codes(test))[-1].mean())


def bits_per_byte(token_nats, text):
    """Bits a byte of `text` (str), from the nats of a model's tokens."""
    size = len(text.encode())
    # probabilities multiply to that of the whole text: losses add
    return float(sum(token_nats)) / math.log(2) / size if size else 0.0
