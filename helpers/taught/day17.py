"""Built in day 17, Generators: ``runner taught`` copies it from day17_generators.ipynb."""

import itertools
import json
from pathlib import Path

import numpy as np

END = 256                                # ids 0 to 255 are the bytes


def pack(documents, length):
    """Rows of `length` ids, documents end to end; the last may be short."""
    row = []
    for ids in documents:
        row += ids
        whole = len(row) - len(row) % length
        for begin in range(0, whole, length):
            yield row[begin:begin + length]
        row = row[whole:]
    if row:
        yield row


def shards(paths):
    """The texts of JSON-lines files, one line in memory at a time."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def utf8(text):
    """The bytes of a text as ids."""
    return list(text.encode())


def tokens(texts, encode=utf8, end=END):
    """The ids of each text as a list, with `end` after them."""
    for text in texts:
        yield [*encode(text), end]


def batches(rows, size, fill=-1):
    """Arrays of up to `size` rows, int64; a short row ends in `fill`."""
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        batch = np.full((len(some), max(map(len, some))), fill)
        for i, row in enumerate(some):
            batch[i, :len(row)] = row
        yield batch


def write_shards(texts, folder, per_shard):
    """Texts to JSON-lines files of `per_shard` texts; their paths."""
    texts, paths = iter(texts), []
    while some := list(itertools.islice(texts, per_shard)):
        path = Path(folder) / f"{len(paths):05d}.jsonl"
        lines = "".join(json.dumps(text) + "\n" for text in some)
        path.write_text(lines, "utf-8")
        paths.append(path)
    return paths


class Stream:
    """An iterable that begins anew with each loop: Stream(make)."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return self.make()


def shuffle(items, room, draw):
    """Items in random order, with `room` of them held at a time."""
    items = iter(items)
    held = list(itertools.islice(items, room))
    for item in items:
        k = draw.randrange(room)
        out, held[k] = held[k], item
        yield out
    draw.shuffle(held)
    yield from held
