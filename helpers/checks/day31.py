"""Checks of day 31: the next merge, encoding a word, text while it streams, the most probable cut."""

import codecs
import math
import random


def next_merge(fn):
    cases = (
        ("banana twice, bandana once", [("banana", 2), ("bandana", 1)], "an"),
        ("two equal pairs in one word", [("ba", 1), ("ab", 1)], "ab"),
        ("a frequent word against two rare ones", [("xy", 5), ("ab", 2), ("abc", 2)], "xy"),
        ("equals that were met in the other order", [("zy", 3), ("ab", 3)], "ab"),
        ("three equal letters hold the pair twice", [("aaa", 2), ("bc", 3)], "aa"),
        ("words of one letter hold none", [("a", 9), ("bc", 1)], "bc"),
    )
    for what, words, want in cases:
        want = tuple(map(ord, want))
        got = fn([([ord(c) for c in word], count) for word, count in words])
        assert got is not None, f"{what}: nothing was returned"
        got = tuple(got)
        assert got == want, (
            f"{what}: expected {''.join(map(chr, want))!r}, got {''.join(map(chr, got))!r}; each word counts as often "
            "as it occurs, overlapping pairs all count, and of equals the smaller pair of ids is taken"
        )
    assert fn([]) is None and fn([([7], 3)]) is None, "where there is no pair at all, return None"
    rng = random.Random(0)
    for _ in range(200):
        words = [([rng.randrange(4) for _ in range(rng.randrange(6))], rng.randrange(1, 4)) for _ in range(5)]
        got, want = fn([(list(ids), n) for ids, n in words]), _next(words)
        assert (None if got is None else tuple(got)) == want, f"{words}: expected {want}, got {got}"
    return "the text's words, ties, overlaps, single letters, nothing, two hundred random lists"


def _next(words, weighed=True, order="small", overlap=True):
    counts: dict[tuple[int, int], int] = {}
    for ids, count in words:
        last = -2
        for i, pair in enumerate(zip(ids, ids[1:], strict=False)):
            if not overlap and pair[0] == pair[1] and last == i - 1:
                continue
            last = i if pair[0] == pair[1] else -2
            counts[pair] = counts.get(pair, 0) + (count if weighed else 1)
    if not counts:
        return None
    if order == "small":
        return min(counts, key=lambda q: (-counts[q], q))
    return max(counts, key=lambda q: (counts[q], q) if order == "large" else counts[q])


def encode_word(fn):
    learnt = {(1, 2): (0, 10), (3, 1): (1, 11), (10, 2): (2, 12), (11, 2): (3, 13)}
    cases = (
        ("the earlier merge is further right", [3, 1, 2], learnt, [3, 10]),
        ("nothing known", [5, 6], learnt, [5, 6]),
        ("one id", [1], learnt, [1]),
        ("no id", [], learnt, []),
        ("two steps, one on top of the other", [1, 2, 2], learnt, [12]),
        ("the same pair twice", [1, 2, 1, 2], learnt, [10, 10]),
        ("three equal ids: from the left", [1, 1, 1], {(1, 1): (0, 9)}, [9, 1]),
        ("four equal ids, merges of merges", [1, 1, 1, 1], {(1, 1): (0, 9), (9, 9): (1, 8)}, [8]),
        ("ranks that are not in the order of the dict", [3, 1, 2], {(3, 1): (7, 11), (1, 2): (2, 10)}, [3, 10]),
        ("ranks that are not in the order of the new ids", [3, 1, 2], {(3, 1): (1, 11), (1, 2): (0, 40)}, [3, 40]),
    )
    for what, ids, ranks, want in cases:
        given = list(ids)
        got = fn(given, dict(ranks))
        assert got is not None, f"{what}: nothing was returned"
        assert list(got) == want, (
            f"{what}: {ids} becomes {want}, got {list(got)}; at each moment the present pair of the lowest rank is "
            "merged wherever it stands, from the left"
        )
        assert given == ids, f"{what}: the list that you were given has changed; work on a copy"
    rng = random.Random(1)
    for _ in range(300):
        ranks, pool = {}, [0, 1, 2]
        for rank in range(rng.randrange(1, 12)):
            pair = (rng.choice(pool), rng.choice(pool))
            if pair not in ranks:
                ranks[pair] = (rank, 100 + rank)
                pool.append(100 + rank)
        ids = [rng.randrange(3) for _ in range(rng.randrange(14))]
        got, want = list(fn(list(ids), dict(ranks))), _encode(ids, ranks)
        assert got == want, f"{ids} with {ranks}: expected {want}, got {got}"
    return "merges further right, on top of each other, repeated, overlapping, unordered, 300 random tables"


def _merge(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        both = tuple(ids[i : i + 2]) == pair
        out.append(new if both else ids[i])
        i += 2 if both else 1
    return out


def _encode(ids, ranks):
    ids = list(ids)
    while known := [p for p in zip(ids, ids[1:], strict=False) if p in ranks]:
        pair = min(known, key=lambda p: ranks[p][0])
        ids = _merge(ids, pair, ranks[pair][1])
    return ids


def stream_text(fn):
    moon = "月光".encode()
    cases = (
        ("whole characters", [b"ab", b"c"], ["ab", "c", ""]),
        ("a character in two tokens", [moon[:2], moon[2:]], ["", "月光", ""]),
        ("a character and a half", [moon[:4], moon[4:]], ["月", "光", ""]),
        ("byte by byte", [bytes([b]) for b in moon], ["", "", "月", "", "", "光", ""]),
        ("an end in the middle of a character", [b"a", moon[:2]], ["a", "", "�"]),
        ("a byte that begins nothing", [b"\xff", b"a"], ["�", "a", ""]),
        ("a beginning that is not continued", [moon[:2], b"a"], ["", "�a", ""]),
        ("an empty token", [moon[:1], b"", moon[1:3]], ["", "", "月", ""]),
        ("no token", [], [""]),
        ("four bytes in three tokens", ["🎲".encode()[:1], "🎲".encode()[1:3], "🎲".encode()[3:]], ["", "", "🎲", ""]),
    )
    for what, tokens, want in cases:
        got = fn(iter(tokens))
        assert isinstance(got, list), f"return a list of strings, got {type(got).__name__}"
        assert len(got) == len(want), f"{what}: {len(tokens)} tokens give {len(want)} strings, got {len(got)}"
        assert "".join(got) == "".join(want), (
            f"{what}: joined it should read {''.join(want)!r}, got {''.join(got)!r}; bytes of an unfinished character "
            "wait for the next token, and only at the end, or if they cannot go on, become �"
        )
        assert got == want, f"{what}: expected {want}, got {got}; show each character as soon as its last byte is there"
    rng = random.Random(2)
    for _ in range(300):
        data = bytes(rng.choice(b"a\xe6\x9c\x88\xf0\x9f\x8e\xb2\xff\xc3\xa9") for _ in range(rng.randrange(12)))
        if rng.random() < 0.5:
            data = "".join(rng.choice("aé月🎲") for _ in range(6)).encode()
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(4))
        tokens = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        got, want = fn(iter(tokens)), _stream(tokens)
        assert got == want, f"{tokens}: expected {want}, got {got}"
    return "split characters, ends in the middle, bytes that are no UTF-8, empty tokens, 300 random streams"


def _stream(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    shown = [decoder.decode(token) for token in tokens]
    return [*shown, decoder.decode(b"", final=True)]


def best_cut(fn):
    log_p = {"un": -3.0, "hap": -4.0, "happi": -4.5, "ness": -3.0, "unh": -2.0, "appiness": -9.0, "a": -5.0, "in": -2.5}
    log_p |= {c: -7.0 for c in "unhpies"}
    cases = [
        ("unhappiness: the longest beginning is a trap", "unhappiness", log_p, -20.0),
        ("an empty word", "", log_p, -20.0),
        ("a character in no piece", "un§ness", log_p, -20.0),
        ("only unknown characters", "§§", log_p, -20.0),
        ("few pieces against probable ones", "abab", {"abab": -9.0, "ab": -2.0, "a": -1.5, "b": -1.5}, -20.0),
        ("a long piece that is worth it", "abab", {"abab": -3.5, "ab": -2.0, "a": -1.5, "b": -1.5}, -20.0),
        ("a piece of one character worse than unknown", "ab", {"a": -30.0, "b": -1.0, "ab": -25.0}, -20.0),
        ("sixty characters", "ab" * 30, {"a": -1.0, "b": -1.1, "ab": -2.0, "abab": -3.9, "ba": -1.5}, -20.0),
    ]
    rng = random.Random(3)
    for _ in range(150):
        word = "".join(rng.choice("abc") for _ in range(rng.randrange(1, 12)))
        pieces = {
            "".join(rng.choice("abc") for _ in range(rng.randrange(1, 5))): -rng.uniform(0.5, 8) for _ in range(9)
        }
        cases.append((f"{word} with random pieces", word, pieces, -12.0))
    for what, word, pieces, unknown in cases:
        got = fn(word, dict(pieces), unknown)
        assert isinstance(got, list), f"{what}: return a list of pieces"
        assert "".join(got) == word, f"{what}: {got} joined is not the word"
        worth, best = _worth(got, pieces, unknown), _best(word, pieces, unknown)
        assert worth > -math.inf, f"{what}: {got} holds something that is neither a piece nor a single character"
        assert worth > best - 1e-9, (
            f"{what}: {got} is worth {worth:.2f}, but {best:.2f} can be had; neither the longest piece nor the fewest "
            "pieces decide: keep, for each place, the best sum of all cuts that end there"
        )
    return "traps for the longest piece, unknown characters, sixty letters, 150 random vocabularies"


def _price(piece, pieces, unknown):
    p = pieces.get(piece, -math.inf)
    return max(p, unknown) if len(piece) == 1 else p


def _worth(cut, pieces, unknown):
    return sum(_price(piece, pieces, unknown) for piece in cut)


def _best(word, pieces, unknown):
    score = [0.0]
    for j in range(1, len(word) + 1):
        score.append(max(score[i] + _price(word[i:j], pieces, unknown) for i in range(j)))
    return score[-1]


def _leftmost(ids, ranks):
    ids = list(ids)
    i = 0
    while i + 1 < len(ids):
        if (ids[i], ids[i + 1]) in ranks:
            ids[i : i + 2] = [ranks[ids[i], ids[i + 1]][1]]
            i = 0
        else:
            i += 1
    return ids


def _by_dict_order(ids, ranks):
    ids = list(ids)
    for pair, (_, new) in ranks.items():
        ids = _merge(ids, pair, new)
    return ids


def _one_round(ids, ranks):
    known = [p for p in zip(ids, ids[1:], strict=False) if p in ranks]
    pair = min(known, key=lambda p: ranks[p][0], default=None)
    return _merge(ids, pair, ranks[pair][1]) if pair else list(ids)


def _from_the_right(ids, ranks):
    mirrored = {(b, a): value for (a, b), value in ranks.items()}
    return _encode(list(ids)[::-1], mirrored)[::-1]


def _waits_for_the_end(tokens):
    tokens = list(tokens)
    return [""] * len(tokens) + [b"".join(tokens).decode("utf-8", "replace")]


def _drops_the_rest(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    return [decoder.decode(token) for token in tokens] + [""]


def _never_gives_up(tokens):
    shown, kept = [], b""
    for token in tokens:
        kept += token
        try:
            shown.append(kept.decode())
            kept = b""
        except UnicodeDecodeError:
            shown.append("")
    return [*shown, kept.decode("utf-8", "replace")]


def _longest(word, pieces, unknown):
    out, i = [], 0
    while i < len(word):
        j = next((j for j in range(len(word), i, -1) if word[i:j] in pieces), i + 1)
        out.append(word[i:j])
        i = j
    return out


def _fewest(word, pieces, unknown):
    best: list[list[str] | None] = [[]]
    for j in range(1, len(word) + 1):
        cuts = [
            [*start, word[i:j]]
            for i, start in enumerate(best)
            if start is not None and (word[i:j] in pieces or i == j - 1)
        ]
        best.append(min(cuts, key=len))
    return best[-1]


def _unknown_only_if_needed(word, pieces, unknown):
    known = set("".join(p for p in pieces if len(p) == 1))
    free = {c: unknown for c in set(word) - known}
    table = pieces | free
    score: list[tuple[float, list[str]]] = [(0.0, [])]
    for j in range(1, len(word) + 1):
        score.append(
            max(
                ((score[i][0] + table.get(word[i:j], -math.inf), [*score[i][1], word[i:j]]) for i in range(j)),
                key=lambda pair: pair[0],
            )
        )
    return score[-1][1]


WRONG = {
    "next_merge": {
        "each word counted once": lambda words: _next(words, weighed=False),
        "the larger pair of equals": lambda words: _next(words, order="large"),
        "the first met of equals": lambda words: _next(words, order="first"),
        "overlaps not counted": lambda words: _next(words, overlap=False),
    },
    "encode_word": {
        "the leftmost known pair": _leftmost,
        "one round only": _one_round,
        "the order of the dict": _by_dict_order,
        "from the right": _from_the_right,
    },
    "stream_text": {
        "each token on its own": lambda tokens: [t.decode("utf-8", "replace") for t in tokens] + [""],
        "everything at the end": _waits_for_the_end,
        "what is incomplete is dropped": _drops_the_rest,
        "waits for ever after a bad byte": _never_gives_up,
    },
    "best_cut": {
        "the longest piece first": _longest,
        "the fewest pieces": _fewest,
        "a bad single piece is taken although unknown is cheaper": _unknown_only_if_needed,
    },
}
