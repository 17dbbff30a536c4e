"""Checks of day 20: values from text, all faults of a configuration, mutants of comparisons, a test that is tested."""

import ast
import itertools
import math
import random
import re


def as_type(fn):
    good = [
        ("64", int, 64), ("-3", int, -3), (" +7 ", int, 7), ("007", int, 7), ("0", int, 0),
        ("1e-3", float, 0.001), (" 2 ", float, 2.0), ("-.5", float, -0.5),
        ("true", bool, True), ("False", bool, False), ("no", bool, False), (" YES ", bool, True), ("0", bool, False),
        ("1", bool, True), (" a b ", str, " a b "), ("", str, ""), ("True", str, "True"),
    ]  # fmt: skip
    for text, kind, want in good:
        try:
            got = fn(text, kind)
        except ValueError as err:
            raise AssertionError(f"{text!r} as {kind.__name__} is {want!r}, yours refuses it ({err})") from None
        hint = " bool() of any text that is not empty is True" if kind is bool else ""
        assert type(got) is type(want) and got == want, f"{text!r} as {kind.__name__} is {want!r}, yours {got!r}.{hint}"
    bad = [
        ("1e3", int), ("1.0", int), ("1_000", int), ("", int), ("0x10", int), ("- 3", int), ("²", int), ("١", int),
        ("nan", float), ("inf", float), ("1e999", float), ("1_0.5", float), ("", float), ("one", float), ("1 2", float),
        ("maybe", bool), ("", bool), ("2", bool), ("on", bool), ("None", bool), ("01", bool), ("off", bool),
    ]  # fmt: skip
    for text, kind in bad:
        try:
            got = fn(text, kind)
        except ValueError as err:
            assert not text or text in str(err), f"the message for {text!r} does not show it: {err}"
            continue
        except Exception as err:
            raise AssertionError(f"{text!r} as {kind.__name__}: a ValueError is asked for, not {err!r}") from None
        why = {int: "digits and a sign only", float: "finite, and no underscores", bool: "only six words are allowed"}
        raise AssertionError(f"{text!r} must be refused as {kind.__name__} ({why[kind]}), yours gives {got!r}")
    return f"{len(good)} values, {len(bad)} refusals"


KNOWN = {"length": (int, 1), "rate": (float, 0.0), "folder": (str, None), "mix": (bool, None), "seed": (int, 0)}
KNOWN |= {"shift": (float, None)}
FINE = {"length": 8, "rate": 0.5, "folder": "x", "mix": True, "seed": 0, "shift": -2.5}


def settings_faults(fn):
    for given in (FINE, FINE | {"rate": 1}, FINE | {"rate": 0.0, "length": 1}):
        got = fn(dict(given), dict(KNOWN))
        assert isinstance(got, list), f"return a list, got {type(got).__name__}"
        assert got == [], f"{given} is right (the least value is allowed, an int is fine for a float), you say {got}"
    cases = [
        (FINE | {"lenght": 8}, ["lenght"], "a name that nobody knows must not be ignored"),
        ({k: v for k, v in FINE.items() if k != "seed"}, ["seed"], "a missing name"),
        ({}, list(KNOWN), "everything is missing, and all of it is to be reported"),
        (FINE | {"length": True}, ["length"], "True is an int to isinstance, not a length"),
        (FINE | {"rate": False}, ["rate"], "False is no rate"),
        (FINE | {"length": 8.0}, ["length"], "8.0 is no int"),
        (FINE | {"length": "8"}, ["length"], "'8' is text"),
        (FINE | {"mix": 1}, ["mix"], "1 is no boolean"),
        (FINE | {"folder": None}, ["folder"], "None is no text"),
        (FINE | {"length": 0}, ["length"], "0 lies below the least, 1"),
        (FINE | {"rate": -1e-9}, ["rate"], "below 0"),
        (FINE | {"rate": math.nan}, ["rate"], "NaN is not below 0, nor above: it compares as False with everything"),
        (FINE | {"shift": math.nan}, ["shift"], "NaN is a fault also where there is no least value"),
        (FINE | {"length": 0, "rate": "x", "z": 1}, ["length", "rate", "z"], "three faults, all in one answer"),
    ]
    for given, names, why in cases:
        before = dict(given)
        got = fn(given, dict(KNOWN))
        assert repr(given) == repr(before), "the settings were changed: only report"
        assert isinstance(got, list) and all(isinstance(line, str) for line in got), "return a list of strings"
        found = sorted(_name(line) for line in got)
        assert found == sorted(names), f"for {before}: faults of {sorted(names)}, you report {got}: {why}"
    assert len(fn({"a": 1, "ab": 2}, {})) == 2, "two unknown names are two faults"
    rng = random.Random(20)
    for _ in range(60):
        given, want = dict(FINE), set()
        for name in rng.sample(list(KNOWN), rng.randrange(4)):
            want.add(name)
            if rng.random() < 0.4:
                del given[name]
            else:
                given[name] = [1]
        for other in rng.sample(["x", "y", "zz"], rng.randrange(3)):
            given[other] = 1
            want.add(other)
        got = {_name(line) for line in fn(given, dict(KNOWN))}
        assert got == want, f"for {given}: {sorted(want)}, you report {sorted(got)}"
    return f"3 right configurations, {len(cases)} wrong ones by hand, 60 at random"


def _name(line):
    word = line.split(":")[0].split("=")[0].split()
    return word[0].strip("'\"`") if word else ""


SOURCES = [
    "x = 1",
    "a < b",
    "if a <= b and c != d:\n    e = a > b",
    "def f(a, b):\n    'a < b'\n    return a == b  # a > b",
    "a < b <= c == d",
    "x = a in b or a is b or not a >= 2",
    "x = f(a < b) > g('<', [c for c in d if c != a < 3])",
    "while (a > b) == (c < d):\n    pass",
]


def comparison_mutants(fn):
    for source in SOURCES:
        got = fn(source)
        assert isinstance(got, list), f"return a list, got {type(got).__name__}"
        want = _mutants(source)
        assert len(got) == len(want), f"{source!r} has {len(want)} operators to swap, you return {len(got)} sources"
        for i, text in enumerate(got):
            try:
                have = ast.dump(ast.parse(text))
            except (SyntaxError, TypeError) as err:
                raise AssertionError(f"for {source!r}: {text!r} is no source ({err})") from None
            if have == want[i]:
                continue
            changed = _changed(source, text)
            hint = (
                "right, but in another order than they stand in the text" if have in want
                else "the same as the original" if changed == 0
                else f"{changed} operators differ from the original: start from a fresh tree each time" if changed > 1
                else "is it the other operator of the same pair? Were strings touched?"
            )  # fmt: skip
            raise AssertionError(f"for {source!r}, mutant {i + 1} is {text!r}: {hint}")
    return f"{len(SOURCES)} sources with chains, nesting, strings and comments"


PAIR = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def _mutants(source):
    places = []
    for k, node in enumerate(ast.walk(ast.parse(source))):
        if isinstance(node, ast.Compare):
            places += [
                ((right.lineno, right.col_offset), k, i)
                for i, (op, right) in enumerate(zip(node.ops, node.comparators, strict=True))
                if type(op) in PAIR
            ]
    dumps = []
    for _, k, i in sorted(places):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[k]
        node.ops[i] = PAIR[type(node.ops[i])]()
        dumps.append(ast.dump(ast.parse(ast.unparse(tree))))
    return dumps


def _changed(source, text):
    def ops(code):
        return [type(op) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Compare) for op in node.ops]

    before, after = ops(source), ops(text)
    return sum(a != b for a, b in zip(before, after, strict=False)) + abs(len(before) - len(after))


# ---- a test is tested


def _pack(documents, length):
    row = []
    for ids in documents:
        row = row + list(ids)
        while len(row) >= length:
            yield row[:length]
            row = row[length:]
    if row:
        yield row


def _pack_chain(documents, length):
    stream = itertools.chain.from_iterable(documents)
    while row := list(itertools.islice(stream, length)):
        yield row


def _pack_iterator(documents, length):
    stream = (x for ids in documents for x in ids)
    return iter(lambda: list(itertools.islice(stream, length)), [])


def _drop_rest(documents, length):
    return (row for row in _pack(documents, length) if len(row) == length)


def _per_document(documents, length):
    for ids in documents:
        for i in range(0, len(ids), length):
            yield ids[i : i + length]


def _all_at_once(documents, length):
    rows = list(_pack(list(itertools.islice(documents, 5000)), length))
    return iter(rows)


def _empty_row(documents, length):
    yield from _pack(documents, length)
    yield []


def _sorted_rows(documents, length):
    return (sorted(row) for row in _pack(documents, length))


def _one_longer(documents, length):
    return _pack(documents, length + 1)


def _loses_long(documents, length):
    row = []
    for ids in documents:
        row = row + list(ids)
        if len(row) >= length:
            yield row[:length]
            row = row[length : 2 * length]
    if row:
        yield row


def _eats_input(documents, length):
    for ids in documents:
        kept = list(ids)
        if isinstance(documents, list):
            ids.clear()
        yield from _short(kept, length) if length > 10**6 else ()
        _eats_input.rows = [*getattr(_eats_input, "rows", []), *kept]
        while len(_eats_input.rows) >= length:
            yield _eats_input.rows[:length]
            _eats_input.rows = _eats_input.rows[length:]
    rest, _eats_input.rows = getattr(_eats_input, "rows", []), []
    if rest:
        yield rest


def _short(ids, length):
    return [ids[:length]]


def _no_empty_documents(documents, length):
    return _pack(itertools.takewhile(len, documents), length)


RIGHT = {"plain": _pack, "with islice": _pack_chain, "as an iterator": _pack_iterator}
BROKEN = {
    "the last, short row is dropped": _drop_rest,
    "each document begins a new row": _per_document,
    "everything is read before the first row": _all_at_once,
    "an empty row at the end": _empty_row,
    "order inside a row": _sorted_rows,
    "rows are one id too long": _one_longer,
    "a document of many rows is cut off": _loses_long,
    "the documents are emptied": _eats_input,
    "an empty document ends the stream": _no_empty_documents,
}


def property_of_pack(fn):
    for name, packer in RIGHT.items():
        try:
            fn(packer)
        except AssertionError as err:
            raise AssertionError(
                f"a right packer ({name}: it returns an iterator) fails your test ({err or 'no message'})"
            ) from None
    away = []
    for name, packer in BROKEN.items():
        _eats_input.rows = []
        try:
            fn(packer)
        except AssertionError:
            continue
        away.append(name)
    assert not away, f"{len(BROKEN) - len(away)} of {len(BROKEN)} wrong packers caught; one that got away: {away[0]}"
    return f"{len(RIGHT)} right packers pass, {len(BROKEN)} wrong ones are caught"


# ---- named wrong answers


def _call_kind(text, kind):
    value = text if kind is str else kind(text)
    return value


def _literal(text, kind):
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text.strip().capitalize() if kind is bool else text.strip())
    except (SyntaxError, ValueError):
        raise ValueError(f"{text!r}") from None
    return kind(value)


def _lenient(text, kind):
    if kind is bool:
        return text.strip().lower() in ("true", "yes", "1")
    return text if kind is str else kind(text)


def _stripped_str(text, kind):
    word = text.strip()
    if kind is str:
        return word
    return _lenient(word, kind)


def _bool_by_int(text, kind):
    word = text.strip()
    if kind is bool and word.isdigit() and int(word) in (0, 1):
        return int(word) == 1
    if kind is bool and word.lower() in ("true", "yes", "false", "no"):
        return word.lower() in ("true", "yes")
    if kind is int and re.fullmatch("[+-]?[0-9]+", word) or kind is float and "_" not in word and "n" not in word:
        return kind(word) if kind is int or math.isfinite(float(word)) else _no(text)
    return text if kind is str else _no(text)


def _no(text):
    raise ValueError(repr(text))


def _not_at_least(given, known):
    found = _faults(given, known, nan=False)
    names = {line.split(":")[0] for line in found}
    return found + [
        f"{name}: NaN" for name, (_, least) in known.items()
        if name in given and name not in names and least is not None and not given[name] >= least
    ]  # fmt: skip


def _faults(given, known, first=False, unknown=True, boolean=True, nan=True, least_allowed=True, truthy=False):
    found = [f"{n}: unknown" for n in given if n not in known] if unknown else []
    for name, (kind, least) in known.items():
        value = given.get(name)
        kinds = (int, float) if kind is float else kind
        if (not value and truthy) or name not in given:
            found.append(f"{name}: missing")
        elif not isinstance(value, kinds) or (boolean and isinstance(value, bool) and kind is not bool):
            found.append(f"{name}: type")
        elif nan and value != value:
            found.append(f"{name}: NaN")
        elif least is not None and (value < least if least_allowed else value <= least):
            found.append(f"{name}: below")
    return found[:1] if first else found


def _cumulative(source):
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops):
                if type(op) in PAIR:
                    node.ops[i] = PAIR[type(op)]()
                    found.append(ast.unparse(tree))
    return found


def _textual(source):
    swaps = {"<=": "<", ">=": ">", "==": "!=", "!=": "==", "<": "<=", ">": ">="}
    found, i = [], 0
    while i < len(source):
        sign = next((s for s in swaps if source.startswith(s, i)), "")
        if sign:
            found.append(source[:i] + swaps[sign] + source[i + len(sign) :])
        i += max(1, len(sign))
    return found


def _walk_order(source, first=False, negate=False):
    other = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt} | {
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
    }
    found = []
    for k, node in enumerate(ast.walk(ast.parse(source))):
        if isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops[:1] if first else node.ops):
                if type(op) in PAIR:
                    tree = ast.parse(source)
                    list(ast.walk(tree))[k].ops[i] = (other if negate else PAIR)[type(op)]()
                    found.append(ast.unparse(tree))
    return found


def _inputs():
    rng = random.Random(1)
    for _ in range(100):
        documents = [[rng.randrange(9) for _ in range(rng.choice([0, 1, 3, 9]))] for _ in range(rng.randrange(5))]
        yield documents, rng.randint(1, 4)


def _only_lengths(pack_now):
    for documents, length in _inputs():
        rows = list(pack_now(documents, length))
        assert all(len(row) == length for row in rows[:-1]) and all(0 < len(row) <= length for row in rows)


def _only_content(pack_now):
    for documents, length in _inputs():
        want = sum(documents, [])
        assert sum((list(r) for r in pack_now(documents, length)), []) == want


def _one_example(pack_now):
    assert list(pack_now([[1, 2, 3], [4, 5]], 2)) == [[1, 2], [3, 4], [5]]


def _not_lazy(pack_now):
    for documents, length in _inputs():
        before = [list(d) for d in documents]
        rows = list(pack_now(documents, length))
        assert rows == list(_pack(before, length)) and documents == before


def _wants_a_list(pack_now):
    _not_lazy(pack_now)
    assert isinstance(pack_now([[1]], 1), list)


WRONG = {
    "as_type": {
        "kind(text)": _call_kind,
        "literal_eval": _literal,
        "everything else is False": _lenient,
        "text stripped": _stripped_str,
        "01 is a truth": _bool_by_int,
    },
    "settings_faults": {
        "the first fault only": lambda given, known: _faults(given, known, first=True),
        "unknown names ignored": lambda given, known: _faults(given, known, unknown=False),
        "True is an int": lambda given, known: _faults(given, known, boolean=False),
        "NaN passes where nothing is the least": _not_at_least,
        "NaN passes": lambda given, known: _faults(given, known, nan=False),
        "the least value refused": lambda given, known: _faults(given, known, least_allowed=False),
        "false values are missing": lambda given, known: _faults(given, known, truthy=True),
    },
    "comparison_mutants": {
        "changes pile up": _cumulative,
        "by text": _textual,
        "in the order of the walk": _walk_order,
        "the first of a chain only": lambda source: _walk_order(source, first=True),
        "negated, not swapped": lambda source: _walk_order(source, negate=True),
    },
    "property_of_pack": {
        "lengths only": _only_lengths,
        "content only": _only_content,
        "one example": _one_example,
        "never an endless stream": _not_lazy,
        "wants a list": _wants_a_list,
    },
}
