import pytest

from helpers.runner.catalog import CatalogError, find_root, lessons, select


@pytest.fixture
def book(tree):
    for day, phase in [(1, 1), (2, 1), (27, 1), (28, 1), (31, 2), (61, 3)]:
        tree.add(day, phase=phase, title=f"Title {day}", budget=120 if day == 28 else 30)
    return tree


def days(book, *words, **more):
    return [one.day for one in select(book.root, lessons(book.root), words, **more)]


def test_a_lesson_says_what_it_is(book):
    one = lessons(book.root)[3]
    assert (one.day, one.phase, one.slug, one.title, one.budget) == (28, 1, "tiny", "Title 28", 120)
    assert one.path.as_posix() == "notebooks/phase1_tiny/day28_tiny.ipynb"


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ((), [1, 2, 27, 28, 31, 61]),
        (("all",), [1, 2, 27, 28, 31, 61]),
        (("28",), [28]),
        (("day01",), [1]),
        (("27-40",), [27, 28, 31]),
        (("phase1",), [1, 2, 27, 28]),
        (("61,1", "2"), [1, 2, 61]),
        (("2", "1-2"), [1, 2]),
        (("notebooks/phase3_tiny/day61_tiny.ipynb",), [61]),
    ],
)
def test_selection(book, words, chosen):
    assert days(book, *words) == chosen


def test_changed_asks(book):
    assert days(book, "changed", changed=lambda one: one.day == 31) == [31]
    assert days(book, "changed", changed=lambda one: False) == []


@pytest.mark.parametrize("word", ["77", "3-26", "phase4", "yesterday", "1-"])
def test_an_unknown_word_lists_what_exists(book, word):
    with pytest.raises(CatalogError, match=r"days 1-2, 27-28, 31, 61") as err:
        days(book, word)
    assert word in str(err.value)


def test_a_named_lesson_need_not_be_in_the_book_yet(book):
    toc = (book.root / "_toc.yml").read_text()
    (book.root / "_toc.yml").write_text(toc.replace("day61", "gone61"))
    assert days(book, "all") == [1, 2, 27, 28, 31]
    assert days(book, "61") == [61]


def test_a_notebook_that_is_no_json_is_named(book):
    (book.root / "notebooks/phase1_tiny/day02_tiny.ipynb").write_text('{"cells": [')
    with pytest.raises(CatalogError, match=r"day02_tiny.ipynb is not JSON"):
        lessons(book.root)


@pytest.mark.parametrize("content", ["[]", "{}", '{"cells": 3}', '{"cells": [{}]}'])
def test_json_that_is_no_notebook(book, content):
    (book.root / "notebooks/phase1_tiny/day02_tiny.ipynb").write_text(content)
    with pytest.raises(CatalogError, match="no notebook"):
        lessons(book.root)


def test_a_line_without_a_notebook(book):
    (book.root / "notebooks/phase1_tiny/day02_tiny.ipynb").unlink()
    with pytest.raises(CatalogError, match="does not exist.*_toc.yml"):
        lessons(book.root)


def test_a_broken_list(book):
    (book.root / "_toc.yml").write_text("parts: [")
    with pytest.raises(CatalogError, match="_toc.yml cannot be read"):
        lessons(book.root)


def test_root_is_found_from_below(book, tmp_path_factory):
    assert find_root(book.root / "notebooks" / "phase1_tiny") == book.root
    with pytest.raises(CatalogError, match="inside the repository"):
        find_root(tmp_path_factory.mktemp("elsewhere"))
