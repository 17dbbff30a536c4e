"""Checks of day 66: strings on the wire, version folders, a response with mixed tensors, a probe, a safe copy."""

import json
import re
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np

TYPES = {"FP32": "<f4", "FP16": "<f2", "FP64": "<f8", "INT64": "<i8", "INT32": "<i4", "UINT8": "|u1", "BOOL": "|b1"}


def _pack(texts):
    blobs = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs)


def read_strings(fn):
    cases = [
        ["hi"],
        ["ab", "cde"],
        ["", "x", ""],
        [],
        ["Where is my order?", "订单在哪里?", "déjà vu"],
        ["a" * 300, "b"],
        ["a" * 70_000, "b"],
    ]
    for texts in cases:
        raw = _pack(texts)
        shown = raw[:20].hex(" ") + (" …" if len(raw) > 20 else "")
        try:
            got = fn(raw)
        except UnicodeDecodeError:
            raise AssertionError(
                f"{shown}: the text was cut inside a character; the length counts bytes, so cut first and decode after"
            ) from None
        except struct.error:
            raise AssertionError(
                f"{shown}: you looked for a length where no 4 bytes are left; lengths count bytes, not characters, "
                "so walk over the bytes, and decode each element after cutting it out"
            ) from None
        assert isinstance(got, list), f"return a list of str, got {type(got).__name__}"
        assert all(isinstance(text, str) for text in got), "return str: decode each element's bytes as UTF-8"
        assert len(got) == len(texts), (
            f"{shown} holds {len(texts)} strings, you found {len(got)}: each one is a length (uint32, little-endian) "
            "and that many bytes; an empty string is a length 0 with nothing after it"
        )
        assert got == texts, f"{shown} holds {texts!r:.60}, got {got!r:.60}: is each length a little-endian uint32?"
    return "seven tensors, with empty strings, none at all, a long one, and characters of three bytes"


def _reads_characters(raw):
    text, at, out = raw.decode("utf-8", "replace"), 0, []
    while at < len(text):
        n = struct.unpack("<I", text[at : at + 4].encode("latin-1", "replace")[:4])[0]
        out.append(text[at + 4 : at + 4 + n])
        at += 4 + n
    return out


def _reads_big_endian(raw):
    at, out = 0, []
    while at < len(raw):
        (n,) = struct.unpack_from(">I", raw, at)
        out.append(raw[at + 4 : at + 4 + n].decode())
        at += 4 + n
    return out


def _reads_two_bytes(raw):
    at, out = 0, []
    while at < len(raw):
        (n,) = struct.unpack_from("<H", raw, at)
        out.append(raw[at + 4 : at + 4 + n].decode())
        at += 4 + n
    return out


def _stops_at_an_empty_string(raw):
    at, out = 0, []
    while at < len(raw):
        (n,) = struct.unpack_from("<I", raw, at)
        if n == 0:
            break
        out.append(raw[at + 4 : at + 4 + n].decode())
        at += 4 + n
    return out


def _splits_at_zero_bytes(raw):
    return [part.decode("utf-8", "replace") for part in re.split(rb"[\x00-\x1f]\x00\x00\x00", raw) if part]


def served(fn):
    cases = [
        (["1", "2", "10"], 1, [10], "versions are numbers: 10 is later than 2"),
        (["1", "2", "10"], 2, [2, 10], "the two latest, in rising order"),
        (["1", "2"], 5, [1, 2], "no more than there are"),
        (["1", "2.bak"], 1, [2], "the page's own rollback: the server wanted toy/2"),
        (["3", "2024-11-23"], 1, [2024], "a date begins with a number too"),
        (["1", "1_old"], 2, [1], "two folders may give the same version; it counts once"),
        (["1", "03"], 1, [1], "a name that begins with 0 is passed over, unless it is just 0"),
        (["0"], 1, [0], "just 0 is a version"),
        (["1", "0.5", "007"], 3, [1], "names that begin with 0 and go on are passed over"),
        (["1", "v2", "old-9", ".tmp-3"], 3, [1], "a name that begins with another character is no version"),
        (["1", "2b"], 1, [2], "digits at the start count, whatever follows them"),
        (["x"], 1, [], "no version at all is an empty list"),
    ]
    for folders, latest, want, why in cases:
        try:
            got = fn(list(folders), latest)
        except ValueError as err:
            raise AssertionError(f"{folders}: int() refuses ({err}), the server does not: {why}") from None
        got = got if isinstance(got, list) else f"a {type(got).__name__}"
        assert got == want, f"folders {folders}, latest {latest}: the server serves {want}, yours {got}; {why}"
    rng = np.random.default_rng(66)
    for _ in range(50):
        numbers = sorted({int(x) for x in rng.integers(1, 200, 6)})
        folders = [f"{n}{rng.choice(['', '', '.bak', '-old', ' (copy)'])}" for n in numbers]
        rng.shuffle(folders)
        latest = int(rng.integers(1, 5))
        got = fn(list(folders), latest)
        assert got == numbers[-latest:], f"folders {folders}, latest {latest}: expected {numbers[-latest:]}, got {got}"
    return f"{len(cases)} lists of folders by hand, 50 at random"


def _served_strings(folders, latest):
    return [int(name) for name in sorted(name for name in folders if name.isdigit())[-latest:]]


def _served_only_whole_numbers(folders, latest):
    return sorted(int(name) for name in folders if name.isdigit() and (name == "0" or name[0] != "0"))[-latest:]


def _served_before_punctuation(folders, latest):
    heads = {re.split(r"[^0-9A-Za-z]", name)[0] for name in folders}
    return sorted(int(head) for head in heads if head == "0" or re.fullmatch(r"[1-9][0-9]*", head))[-latest:]


def _served_any_digits(folders, latest):
    found = {int(re.search(r"\d+", name)[0]) for name in folders if re.search(r"\d", name)}
    return sorted(found)[-latest:]


def _served_twice(folders, latest):
    found = [re.match(r"0$|[1-9]\d*", name) for name in folders]
    return sorted(int(match[0]) for match in found if match)[-latest:]


def _response(tensors, in_json=()):
    """A response's body and the length of its JSON part, from (name, datatype, array) in the server's order."""
    outputs, raw = [], b""
    for name, kind, x in tensors:
        about = {"name": name, "datatype": kind, "shape": list(x.shape)}
        if name in in_json:
            flat = [v.decode() if isinstance(v, bytes) else v for v in x.ravel().tolist()]
            outputs.append(about | {"data": flat})
            continue
        data = _pack(x.ravel()) if kind == "BYTES" else x.astype(TYPES[kind]).tobytes()
        outputs.append(about | {"parameters": {"binary_data_size": len(data)}})
        raw += data
    head = json.dumps({"model_name": "m", "model_version": "1", "outputs": outputs}).encode()
    return head + raw, len(head)


def unpack(fn):
    rng = np.random.default_rng(67)
    words = np.array([[b"yes", b""], ["订单".encode(), b"no"]], dtype=object)
    real, half = rng.normal(size=(2, 3)).astype("<f4"), rng.normal(size=5).astype("<f2")
    count, flag = rng.integers(-9, 2**40, (2, 1)), np.array([True, False, True])
    cases = [
        ("one FP32 tensor", [("Y", "FP32", real)], ()),
        ("two tensors, FP32 and FP16", [("Y", "FP32", real), ("H", "FP16", half)], ()),
        ("INT64, BOOL and FP32", [("N", "INT64", count), ("F", "BOOL", flag), ("Y", "FP32", real)], ()),
        (
            "a JSON output between two binary ones",
            [("Y", "FP32", real), ("N", "INT64", count), ("H", "FP16", half)],
            "N",
        ),
        ("strings, and a tensor after them", [("S", "BYTES", words), ("Y", "FP32", real)], ()),
        ("everything in JSON", [("Y", "FP32", real), ("S", "BYTES", words)], ("Y", "S")),
        ("an empty tensor", [("E", "FP32", np.zeros((0, 4), "<f4")), ("Y", "FP32", real)], ()),
    ]
    for what, tensors, in_json in cases:
        body, length = _response(tensors, in_json)
        try:
            got = fn(body, length)
        except KeyError as err:
            if "binary_data_size" in str(err) or "parameters" in str(err):
                raise AssertionError(f"{what}: an output without binary_data_size has its numbers in 'data'") from None
            if "data" in str(err):
                raise AssertionError(
                    f"{what}: an output with binary_data_size has its numbers after the JSON"
                ) from None
            raise
        except ValueError as err:
            raise AssertionError(f"{what}: {err}; does each tensor use its own datatype, and its own bytes?") from None
        assert isinstance(got, dict), f"return a dictionary name → array, got {type(got).__name__}"
        assert list(got) == [name for name, _, _ in tensors], f"{what}: names {list(got)}, or their order, differ"
        for name, kind, want in tensors:
            x = got[name]
            assert isinstance(x, np.ndarray), f"{what}: {name} should be a NumPy array, got {type(x).__name__}"
            assert x.shape == want.shape, f"{what}: {name} has shape {want.shape} in the JSON, yours {x.shape}"
            if kind == "BYTES":
                same = x.dtype == object and x.tolist() == want.tolist()
                assert same, f"{what}: {name} holds bytes objects {want.ravel().tolist()}, got {x.ravel().tolist()}"
                continue
            assert x.dtype == np.dtype(TYPES[kind]), f"{what}: {name} is {kind}, yours has dtype {x.dtype}"
            assert x.tobytes() == want.astype(TYPES[kind]).tobytes(), (
                f"{what}: {name} has other values; where do its bytes begin? Only binary outputs take bytes, "
                "in the order of the JSON, each as many as it says"
            )
    return f"{len(cases)} responses: five datatypes, strings, JSON and binary mixed, an empty tensor"


def _unpack(body, length, start=None, types=TYPES, move=True, mixed=True, shape=True):
    at, out = length if start is None else start, {}
    for output in json.loads(body[:length])["outputs"]:
        kind = output["datatype"]
        size = output.get("parameters", {}).get("binary_data_size")
        if mixed and size is None:
            data = [v.encode() if kind == "BYTES" else v for v in output["data"]]
            x = np.array(data, object if kind == "BYTES" else types[kind])
        else:
            raw = body[at : at + output["parameters"]["binary_data_size"]]
            at += len(raw) if move else 0
            if kind == "BYTES":
                items, i = [], 0
                while i < len(raw):
                    n = struct.unpack_from("<I", raw, i)[0]
                    items.append(raw[i + 4 : i + 4 + n])
                    i += 4 + n
                x = np.array(items, object)
            else:
                x = np.frombuffer(raw, types[kind])
        out[output["name"]] = x.reshape(output["shape"]) if shape else x
    return out


def probe(fn):
    dead, slow = ConnectionRefusedError("refused"), TimeoutError("no answer in time")
    cases = [
        ([200, 200, 200], 3, True, 1, "the first answer is good: ask no more"),
        ([500, 503, 200], 3, True, 3, "the third of three attempts gets 200"),
        ([slow, 200], 3, True, 2, "a timeout is one failed attempt, not the end"),
        ([dead, slow, 500], 3, False, 3, "nobody ever answers 200"),
        ([400, 404], 2, False, 2, "a refusal is an answer, but not a good one: only 200 counts"),
        ([204, 302], 2, False, 2, "only 200 counts"),
        ([500, 200], 1, False, 1, "one attempt is allowed, and it fails"),
    ]
    for outcomes, tries, want, asks, why in cases:
        seen = []

        def ask(outcomes=outcomes, seen=seen, tries=tries):
            assert len(seen) < len(outcomes), f"outcomes {outcomes}: you asked more often than {tries} times"
            seen.append(outcomes[len(seen)])
            if isinstance(seen[-1], Exception):
                raise seen[-1]
            return seen[-1]

        shown = [x if isinstance(x, int) else type(x).__name__ for x in outcomes]
        try:
            got = fn(ask, tries)
        except OSError as err:
            raise AssertionError(f"outcomes {shown}: {type(err).__name__} came out; {why}") from None
        assert got is want, f"outcomes {shown}, {tries} tries: expected {want}, got {got!r}; {why}"
        assert len(seen) == asks, f"outcomes {shown}, {tries} tries: asked {len(seen)} times, expected {asks}; {why}"

    def broken():
        raise KeyError("a bug in ask")

    try:
        fn(broken, 2)
    except KeyError:
        pass
    else:
        raise AssertionError("ask had a bug (KeyError) and you took it for a dead server: catch OSError only")
    return f"{len(cases)} scripts of statuses, refusals and timeouts, and a bug in ask"


def _probe_once(ask, tries):
    return ask() == 200


def _probe_no_timeout(ask, tries):
    return any(ask() == 200 for _ in range(tries))


def _probe_below_500(ask, tries):
    for _ in range(tries):
        with suppress(OSError):
            if ask() < 500:
                return True
    return False


def _probe_catches_all(ask, tries):
    for _ in range(tries):
        with suppress(Exception):
            if ask() == 200:
                return True
    return False


def _probe_asks_on(ask, tries):
    good = 0
    for _ in range(tries):
        with suppress(OSError, AssertionError):
            good += ask() == 200
    return good > 0


def publish(fn):
    with tempfile.TemporaryDirectory() as top:
        model = Path(top) / "encoder"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text("one")

        def seen():
            return sorted(p.name for p in model.iterdir() if p.is_dir() and p.name[0].isdigit())

        early, real = [], open

        def spy(file, mode="r", *args, **kwargs):
            parts = Path(file).parts if isinstance(file, str | Path) else ()
            inside = parts[len(model.parts) :] if parts[: len(model.parts)] == model.parts else ()
            if set(mode) & set("wax+") and inside and inside[0][0].isdigit():
                early.append(inside[0])
            return real(file, mode, *args, **kwargs)

        def files(version, old, broken=False):
            for name, data in [("model.py", b"two"), ("model.onnx", b"\x00" * 100_000)]:
                yield name, data
                early.extend(set(seen()) - set(old))
                if broken:
                    raise OSError("disk full")

        with patch("io.open", spy), patch("builtins.open", spy):
            fn(model, 2, files(2, ["1"]))
        assert not early, (
            f"before the copy was whole the server could see the folder {early[0]!r}, and to it a name that begins "
            "with 2 is version 2: work under a name that begins otherwise, rename at the end"
        )
        assert seen() == ["1", "2"], f"after publishing version 2 there should be folders 1 and 2, got {seen()}"
        found = {p.name: p.stat().st_size for p in (model / "2").iterdir()}
        assert found == {"model.py": 3, "model.onnx": 100_000}, f"version 2 should hold both files whole, got {found}"
        extra = sorted(p.name for p in Path(top).rglob("*") if p.is_dir() and p.name not in ("encoder", "1", "2"))
        assert not extra, f"a working folder stayed behind: {extra}"
        try:
            fn(model, 3, files(3, ["1", "2"], broken=True))
        except OSError:
            pass
        else:
            raise AssertionError("the copy of version 3 failed (disk full) and your function hid it: let the error out")
        assert seen() == ["1", "2"], f"the copy failed half way, and now the server sees {seen()}"
        try:
            fn(model, 3, files(3, ["1", "2"]))
        except OSError as err:
            raise AssertionError(
                f"after the failed copy of version 3 the next attempt fails too ({type(err).__name__}): "
                "clear away what the first one left"
            ) from None
        assert seen() == ["1", "2", "3"], f"the second attempt at version 3 gave the folders {seen()}"
        with suppress(Exception):
            fn(model, 2, iter([("model.py", b"other")]))
        text = (model / "2" / "model.py").read_bytes()
        assert text == b"two" and (model / "2" / "model.onnx").exists(), (
            "version 2 was already published and you changed it: a version, once served, is never written again"
        )
    return "a whole copy, a copy that fails half way and is tried again, and a version that exists"


def _publish_straight(model, version, files):
    folder = Path(model) / str(version)
    folder.mkdir(exist_ok=True)
    for name, data in files:
        (folder / name).write_bytes(data)


def _publish_collects_first(model, version, files):
    files = list(files)
    folder = Path(model) / str(version)
    folder.mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)


def _publish_leaves_ruins(model, version, files):
    folder = Path(model) / f".tmp-{version}"
    folder.mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)
    if (Path(model) / str(version)).exists():
        raise FileExistsError(version)
    folder.rename(Path(model) / str(version))


def _publish_dot_tmp(model, version, files):
    folder = Path(model) / f"{version}.tmp"
    folder.mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)
    folder.rename(Path(model) / str(version))


def _publish_over(model, version, files):
    import shutil

    folder = Path(model) / f".tmp-{version}"
    folder.mkdir()
    try:
        for name, data in files:
            (folder / name).write_bytes(data)
        shutil.rmtree(Path(model) / str(version), ignore_errors=True)
        folder.rename(Path(model) / str(version))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish_swallows(model, version, files):
    import shutil

    folder = Path(model) / f".tmp-{version}"
    folder.mkdir()
    try:
        for name, data in files:
            (folder / name).write_bytes(data)
        folder.rename(Path(model) / str(version))
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)


WRONG = {
    "read_strings": {
        "decodes first, then counts characters": _reads_characters,
        "reads the length as big-endian": _reads_big_endian,
        "reads two of the four length bytes": _reads_two_bytes,
        "takes an empty string for the end": _stops_at_an_empty_string,
        "splits at zero bytes": _splits_at_zero_bytes,
    },
    "served": {
        "sorts the names as text": _served_strings,
        "takes only whole numbers": _served_only_whole_numbers,
        "cuts names at punctuation only": _served_before_punctuation,
        "takes digits anywhere in the name": _served_any_digits,
        "counts a version twice": _served_twice,
    },
    "unpack": {
        "takes every tensor for FP32": lambda body, n: _unpack(body, n, types=dict.fromkeys(TYPES, "<f4")),
        "never moves on to the next tensor": lambda body, n: _unpack(body, n, move=False),
        "expects every output in binary": lambda body, n: _unpack(body, n, mixed=False),
        "returns flat arrays": lambda body, n: _unpack(body, n, shape=False),
        "starts at the body's first byte": lambda body, n: _unpack(body, n, start=0),
    },
    "probe": {
        "asks once": _probe_once,
        "lets a timeout out": _probe_no_timeout,
        "takes 400 for healthy": _probe_below_500,
        "catches every exception": _probe_catches_all,
        "asks on after a good answer": _probe_asks_on,
    },
    "publish": {
        "writes into the final folder": _publish_straight,
        "collects first, then writes into the final folder": _publish_collects_first,
        "leaves a failed copy in the way": _publish_leaves_ruins,
        "works in a folder called 2.tmp": _publish_dot_tmp,
        "replaces a version that exists": _publish_over,
        "hides a failed copy": _publish_swallows,
    },
}
for _name, _wrong in WRONG.items():
    for _fn in _wrong.values():
        _fn.__name__ = _name
