"""Claims: what holds, what fails, what is not run, and what the page and the ledger get."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import claims
from helpers.claims import judge


@pytest.fixture(autouse=True)
def lesson(monkeypatch):
    """Day 54 on a CPU."""
    monkeypatch.setattr(claims.current, "day", 54)
    monkeypatch.setattr(claims.current, "device", SimpleNamespace(type="cpu"))


@pytest.fixture
def shown(monkeypatch):
    """What reaches the page: a list of MIME bundles."""
    seen = []
    fake = SimpleNamespace(display=lambda data, raw: seen.append(data))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return seen


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (True, "holds"),
        (False, "fails"),
        (np.bool_(True), "holds"),
        (np.bool_(False), "fails"),
        (np.array(True), "holds"),
    ],
)
def test_a_boolean_decides(condition, status):
    assert judge("Two is more than one", "2", condition)["status"] == status


@pytest.mark.parametrize(
    "slip",
    [None, 1, 0, 1.0, "yes", "", [True], (True, "message"), np.array([True]), np.float64(1), np.int64(1), lambda: True],
    ids=repr,
)
def test_what_is_no_boolean_never_holds(slip):
    record = judge("A truthy slip passes", "7", slip)
    assert record["status"] == "fails"
    assert record["measured"] == f"7 (the condition is a {type(slip).__name__}, not a boolean)"


def test_torch_booleans():
    torch = pytest.importorskip("torch")
    assert judge("t", "", torch.tensor(3) > 2)["status"] == "holds"
    assert judge("t", "", torch.tensor(1) > 2)["status"] == "fails"
    assert judge("t", "", torch.tensor([3]) > 2)["status"] == "fails"  # one value, yet no single condition
    assert judge("t", "", torch.tensor(1))["status"] == "fails"


def test_nan_fails():
    nan = float("nan")
    assert judge("The loss is at most 1", f"{nan}", nan <= 1)["status"] == "fails"


def test_the_record_has_the_fixed_keys():
    assert judge("FSDP keeps ≤ 0.3× the bytes", 0.27, True) == {
        "lesson": 54,
        "id": "54-fsdp-keeps-0-3-the-bytes",
        "text": "FSDP keeps ≤ 0.3× the bytes",
        "measured": "0.27",
        "status": "holds",
        "needs": None,
    }
    assert claims.MIME == "application/vnd.llm90.claim+json"


def test_ids_are_stable_short_and_their_own():
    start = "Doubling the number of tokens at least triples what naive attention keeps for backward in "
    one, two = (judge(start + kind, "", True)["id"] for kind in ("float32", "bfloat16"))
    assert one != two
    assert one == judge(start + "float32", "another number", False)["id"]
    for name in (one, two):
        assert len(name) <= 63 and re.fullmatch(r"54-[a-z0-9-]*[a-z0-9]", name)


@pytest.mark.parametrize("condition", [True, False, None])
def test_a_gpu_claim_is_not_run_on_a_cpu(condition):
    record = judge("BF16 is faster", "×2.1", condition, needs="gpu")
    assert (record["status"], record["measured"], record["needs"]) == ("not-run", "needs gpu", "gpu")


@pytest.mark.parametrize(("condition", "status"), [(True, "holds"), (False, "fails")])
def test_a_gpu_claim_is_judged_on_a_gpu(monkeypatch, condition, status):
    monkeypatch.setattr(claims.current, "device", SimpleNamespace(type="cuda"))
    record = judge("BF16 is faster", "×2.1", condition, needs="gpu")
    assert (record["status"], record["measured"]) == (status, "×2.1")


def test_a_gpu_claim_before_start_is_not_run(monkeypatch):
    monkeypatch.setattr(claims.current, "device", None)
    assert judge("t", "", True, needs="gpu")["status"] == "not-run"


@pytest.mark.parametrize(("there", "status"), [(True, "fails"), (False, "not-run")])
def test_a_service_claim_follows_the_service(monkeypatch, there, status):
    from helpers import services

    asked = []
    monkeypatch.setattr(services, "available", lambda name: asked.append(name) or there)
    assert judge("t", "", False, needs="triton")["status"] == status
    assert asked == ["triton"]


def test_a_misspelt_service_is_an_error_not_a_claim_never_run():
    with pytest.raises(LookupError, match="tritton"):
        judge("t", "", True, needs="tritton")


def test_the_page_gets_record_html_and_plain_text(shown):
    claims.claim("a < b & c", "1 < 2", 1 < 2)
    (data,) = shown
    assert data[claims.MIME]["status"] == "holds"
    assert data["text/plain"] == "✓ a < b & c · Holds: 1 < 2"
    page = data["text/html"]
    assert 'class="claim holds"' in page and 'id="claim-54-a-b-c"' in page
    assert "a &lt; b &amp; c" in page and "1 &lt; 2" in page and "Holds" in page and "✓" in page


@pytest.mark.parametrize(
    ("condition", "needs", "mark", "word"),
    [(True, None, "✓", "Holds"), (False, None, "✗", "Fails"), (True, "gpu", "–", "Not run here")],
)
def test_the_word_and_the_mark_are_the_status(shown, condition, needs, mark, word):
    claims.claim("t", "1", condition, needs=needs)
    (data,) = shown
    others = {"✓", "✗", "–"} - {mark}
    for text in (data["text/plain"], re.sub(r"<[^>]*>", " ", data["text/html"])):
        assert mark in text and word in text
        assert not any(other in text for other in others)


def test_a_failed_claim_does_not_raise(shown):
    claims.claim("One is more than two", "1", False)
    claims.claim("None is true", "1", None)
    assert [data[claims.MIME]["status"] for data in shown] == ["fails", "fails"]
