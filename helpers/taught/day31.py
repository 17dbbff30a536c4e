"""Built in day 31, Tokenization: ``runner taught`` copies it from day31_tokenization.ipynb."""

import heapq
import math
from collections import Counter, defaultdict

import regex

PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]


ORDER = PRINTED + sorted({*range(256)} - {*PRINTED})


UNIT = {byte: number for number, byte in enumerate(ORDER)}


def merge(ids, pair, new):
    """Replace each `pair` in a list of ids by `new`, left to right."""
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def first_counts(words):
    """Ids of each distinct word, pairs' counts, words of each pair."""
    seqs = [[UNIT[b] for b in w] for w in words]
    counts, where = Counter(), defaultdict(set)
    for k, often in enumerate(words.values()):
        for pair in zip(seqs[k], seqs[k][1:]):
            counts[pair] += often
            where[pair].add(k)
    return seqs, counts, where


def merge_all(pair, new, seqs, often, counts, where):
    """Merge where `pair` stands; new pairs, pairs looked at, merged."""
    fresh, looked, merged = set(), 0, 0
    for k in where.pop(pair):
        old, seqs[k] = seqs[k], merge(seqs[k], pair, new)
        for q in zip(old, old[1:]):
            counts[q] -= often[k]
        for q in zip(seqs[k], seqs[k][1:]):
            counts[q] += often[k]
            where[q].add(k)
            fresh |= {q} if new in q else set()
        looked += len(old) + len(seqs[k]) - 2
        merged += len(old) - len(seqs[k])
    return fresh, looked, merged


def train_bpe(words, pieces_wanted, ledger=None):
    """Pieces (bytes by id) and merges: pair of ids -> (rank, new id)."""
    seqs, counts, where = first_counts(words)
    pieces, merges, known = [bytes([b]) for b in ORDER], {}, {}
    often, heap = [*words.values()], sorted(
        (-c, q) for q, c in counts.items())
    while heap and len(pieces) < pieces_wanted:
        count, pair = heapq.heappop(heap)
        fresh = {pair} if counts[pair] > 0 else set()    # out of date
        if counts[pair] == -count:
            piece = pieces[pair[0]] + pieces[pair[1]]
            new = known.setdefault(piece, len(pieces))
            pieces += [piece] if new == len(pieces) else []
            merges[pair] = (len(merges), new)
            fresh, *work = merge_all(pair, new, seqs, often, counts, where)
            if ledger is not None:
                ledger.append(work)
        for q in fresh:
            heapq.heappush(heap, (-counts[q], q))
    return pieces, merges


CUT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+"
                    r"| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def word_counts(text):
    """Distinct cuts of a text, as bytes, in order, with their counts."""
    return Counter(word.encode() for word in CUT.findall(text))


def encode(text, merges, memory=None):
    """Ids of a text; `memory` (a dict) keeps the words already done."""
    ids, memory = [], {} if memory is None else memory
    for word in CUT.findall(text):
        if word not in memory:
            one = [UNIT[b] for b in word.encode()]
            while len(one) > 1:
                pair = min(zip(one, one[1:]),
                           key=lambda q: merges.get(q, (math.inf,)))
                if pair not in merges:
                    break
                one = merge(one, pair, merges[pair][1])
            memory[word] = one
        ids += memory[word]
    return ids


def decode(ids, pieces):
    """Text of ids; bytes that are no UTF-8 become the sign U+FFFD."""
    return b"".join(pieces[i] for i in ids).decode("utf-8", "replace")
