"""Write book/data_table.md, the table on the page *Data and licences*, from helpers/sources/sources.toml."""

from __future__ import annotations

from pathlib import Path

from helpers.sources import Source, sources

PAGE = Path(__file__).parents[1] / "book" / "data_table.md"
HEAD = "| key | what | source | licence | size | days |\n|---|---|---|---|---|---|\n"


def row(source: Source) -> str:
    """One line of the table."""
    days = ", ".join(map(str, source.days)) or "–"
    licence = f"[{source.licence}]({source.licence_url})"
    return f"| `{source.key}` | {source.what} | {source.origin} | {licence} | {source.size} | {days} |\n"


def table() -> str:
    """The fragment: data, then models."""
    models = ("smollm", "minilm")
    data = "".join(row(source) for key, source in sources().items() if key not in models)
    weights = "".join(row(sources()[key]) for key in models)
    note = "<!-- made by scripts/data_table.py from helpers/sources/sources.toml; do not edit -->\n\n"
    return f"{note}{HEAD}{data}\nModels:\n\n{HEAD}{weights}"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
    print(f"{PAGE} written")
