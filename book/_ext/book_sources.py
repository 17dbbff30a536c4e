"""One bibliography out of the lessons' own words: what they cite, merged by address, with the days that cite it.

A lesson's *Sources* section gives the full entry; links in its prose count as well. Knows text, not Sphinx.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urlsplit

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((https?://(?:[^\s()]|\([^\s()]*\))+)\)")
BARE_ID = re.compile(r"(doi|arxiv|jstor|isbn|pmid)\b[: ]|^[\w.-]+\.(com|org|edu|net|io)(/|$)", re.I)
HEADING = re.compile(
    r"(documentation|docs|models?|data|read first|start with|papers?|code)$|.*\*Data and licences", re.I
)
YEAR = re.compile(r"\b(1[89]|20)\d\d\b")
PAPER_HOSTS = re.compile(
    r"(^|\.)(arxiv\.org|doi\.org|jstor\.org|openreview\.net|neurips\.cc|mlr\.press|aclanthology\.org|usenix\.org"
    r"|jmlr\.org|stanford\.edu|acm\.org|ieee\.org|springer\.com|siam\.org|nature\.com|pnas\.org|thecvf\.com)$"
)
EDGES = " \t\n·,;:–—-."


@dataclass
class Work:
    """One thing that is cited: its words (Markdown), its addresses by label, and where it is used for what."""

    words: str
    rank: int
    links: dict[str, str]
    days: dict[int, str] = field(default_factory=dict)

    @property
    def paper(self) -> bool:
        """Whether it is an article or a book, rather than a manual, a program or a data sheet."""
        return (self.dated and "/" not in self.words) or any(
            PAPER_HOSTS.search(urlsplit(url).hostname or "") for url in self.links.values()
        )

    @property
    def dated(self) -> bool:
        """Whether its words name a year, so begin with an author's name."""
        return bool(YEAR.search(self.words))

    @property
    def order(self) -> str:
        """What an alphabetical list sorts by."""
        return re.sub(r"[^a-z0-9 ]", "", self.words.casefold()).strip()


def same(url: str) -> str:
    """What two addresses of one thing share: the arXiv number without version, the DOI, or the plain address."""
    plain = urldefrag(url)[0].rstrip("/")
    if found := re.search(r"arxiv\.org/(?:abs|pdf)/([\w.-]+/\d+|\d+\.\d+)", plain):
        return f"arxiv:{found[1]}"
    if found := re.search(r"doi\.org/(.+)", plain):
        return f"doi:{found[1].casefold()}"
    return re.sub(r"^https?://(www\.)?", "", plain)


def label(url: str) -> str:
    """What a reader sees of an address: ``arXiv:1706.03762``, ``doi:…``, or the host."""
    name = same(url)
    if name.startswith("arxiv:"):
        return f"arXiv:{name[6:]}"
    if name.startswith("doi:"):
        return f"doi:{url.split('doi.org/', 1)[1]}"
    return (urlsplit(url).hostname or "").removeprefix("www.")


def gather(lessons: Iterable[tuple[int, str, str]], titles: Mapping[str, str] | None = None) -> list[Work]:
    """The bibliography of ``(day, text of its Sources section, all its other prose)``, in alphabetical order.

    ``titles``, by identifier (see ``same``), complete what is cited without a title.
    """
    known: dict[str, Work] = {}
    for day, sources, prose in lessons:
        for work, note in [*entries(sources), *inline(prose)]:
            _add(known, work, day, note)
    for name, title in (titles or {}).items():
        if name in known and "*" not in known[name].words:
            known[name].words += f", *{title}*"
    unique = list({id(work): work for work in known.values()}.values())
    return sorted(unique, key=lambda work: work.order)


def _add(known: dict[str, Work], work: Work, day: int, note: str) -> None:
    names = {same(url): url for url in work.links.values()}
    twins = list({id(known[name]): known[name] for name in names if name in known}.values())
    kept = twins[0] if twins else work
    for other in [*twins[1:], work]:
        if other is kept:
            continue
        if (other.rank, len(other.words)) > (kept.rank, len(kept.words)):
            kept.words, kept.rank = other.words, other.rank
        kept.links = {**kept.links, **other.links}
        kept.days = {**other.days, **kept.days}
    kept.days[day] = kept.days.get(day) or note
    for url in kept.links.values():
        known[same(url)] = kept


def entries(text: str) -> Iterator[tuple[Work, str]]:
    """The works of a Sources section, each with what it is cited for: entries stand in a list, or between dots."""
    for piece in re.split(r"\n\s*[-*] |\n\n| · ", "\n" + text):
        yield from _entry(piece)


def _entry(piece: str) -> Iterator[tuple[Work, str]]:
    """One entry: words, then links; a link that only repeats an identifier belongs to the words before it."""
    found: list[tuple[Work, list[str]]] = []
    prefix, at = "", 0
    for match in LINK.finditer(piece):
        before, at = piece[at : match.start()], match.end()
        if found:
            note, before = _note(before)
            found[-1][1].append(note)
        words = re.sub(r"^(and|see|or)\b|[\s(]+$", "", before.strip(EDGES)).strip(EDGES)
        words = re.split(r"(?<=[a-z]{3}\.) (?=[A-Z])", words)[-1]  # a sentence that introduces the list is no part
        lead, _, after = words.rpartition(": ")
        words = after if YEAR.search(after) and not YEAR.search(lead) else words
        if HEADING.match(words):
            words = prefix = ""
        name, url = match[1], match[2]
        if BARE_ID.search(name) or (YEAR.search(words) and "*" in words):
            if words or not found:
                found.append((_work(words or name, url), []))
            else:
                found[-1][0].links[label(url)] = url
            continue
        if words:
            label_like = words[0].isupper() and words.count(" ") < 3  # "PyTorch", not the start of a sentence
            prefix = words if before.rstrip().endswith((":", ",")) or label_like else ""
        if not re.search("[a-z]{2}", name, re.I):
            name = same(url)  # "4171": the address says more
        elif prefix and len(prefix) < 60 and not YEAR.search(name):
            name = f"{prefix}, {name}"
        found.append((_work(name, url), []))
    if found:
        found[-1][1].append(_note(piece[at:])[0])
    for work, notes in found:
        yield work, next((note for note in notes if note), "")


def _note(text: str) -> tuple[str, str]:
    """``: why it is cited. Next entry`` in its two parts; without a colon all of it belongs to the next entry."""
    if not text.lstrip().startswith(":"):
        return "", text
    note, _, after = text.lstrip(": ").partition(". ")
    return note.strip(EDGES), after


def inline(text: str) -> Iterator[tuple[Work, str]]:
    """Everything that prose links to."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    for match in LINK.finditer(text):
        yield _work(match[1], match[2], inline=True), ""


def _work(words: str, url: str, inline: bool = False) -> Work:
    words = " ".join(words.split()).strip(EDGES)
    if inline and not YEAR.search(words) and not PAPER_HOSTS.search(urlsplit(url).hostname or ""):
        words = same(url).split("?")[0]  # "here", "the docs": the address says more
    rank = 2 * bool(YEAR.search(words)) + (not inline)
    return Work(words, rank, {label(url): url})
