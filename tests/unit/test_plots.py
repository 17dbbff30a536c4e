"""Figures: size, alternative text, one output, the same bytes again, colours one can read."""

import base64
import io
import sys
import warnings
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from helpers import plots

ALT = "A line that rises from zero to one, evenly."
PAPER = "#FCFCFA"


@pytest.fixture(autouse=True)
def style():
    """The lessons' style for this test only."""
    with plt.rc_context():
        plots.use_style()
        yield
        plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What reaches the page: (data, metadata)."""
    seen = []
    fake = SimpleNamespace(display=lambda data, metadata, raw: seen.append((data, metadata)))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return seen


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(("wide", "width"), [(False, 3.3), (True, 6.8)])
def test_half_or_whole_column(wide, width):
    fig, ax = plots.figure(wide=wide)
    assert fig.get_size_inches().tolist() == [width, 2.9]
    assert not isinstance(ax, np.ndarray)


def test_more_axes():
    fig, axes = plots.figure(1, 2, wide=True, height=2)
    assert axes.shape == (2,) and fig.get_figheight() == 2


def test_a_figure_is_shown_once_with_its_alt_text(shown):
    fig, ax = plots.figure()
    ax.plot([0, 1], [0, 1])
    plots.show(fig, alt=ALT)
    ((data, meta),) = shown
    assert set(data) == {"image/svg+xml", "text/plain"} and data["text/plain"] == ALT
    assert meta["figure"] == {"alt": ALT, "photo": False, "width": 317}
    assert data["image/svg+xml"].startswith("<svg") and "http" not in data["image/svg+xml"].split(">", 1)[1]
    assert not plt.get_fignums(), "a figure that stays open would be shown a second time"


@pytest.mark.parametrize("alt", ["", "   ", "a plot", " " * 30 + "line"])
def test_alt_text_must_say_something(alt, shown):
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="alt text that says what is seen"):
        plots.show(fig, alt=alt)
    assert shown == []


@pytest.mark.parametrize("draw", ["line", "points", "image"])
def test_many_marks_become_pixels_of_256_colours(shown, draw):
    fig, ax = plots.figure()
    x = np.linspace(0, 1, 6000)
    if draw == "line":
        ax.plot(x, x**2)
    elif draw == "points":
        ax.scatter(x, x**2)
    else:
        plots.heatmap(ax, np.outer(x[:80], x[:80]), digits=None)
    plots.show(fig, alt=ALT)
    ((data, _),) = shown
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.mode == "P" and abs(picture.width - 2 * 317) <= 2
    assert picture.convert("RGBA").getpixel((0, 0))[3] == 0, "the paper shows through"


def test_a_photograph_keeps_its_colours(shown):
    fig, ax = plots.figure()
    ax.imshow(np.zeros((4, 4, 3)))
    plots.show(fig, alt=ALT, photo=True)
    ((data, meta),) = shown
    assert "image/png" in data and meta["figure"]["photo"] is True


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        fig, ax = plots.figure()
        plots.band(ax, [0, 1, 2], [[0, 1, 2], [0, 2, 3]], plots.ORANGE, "loss")
        ax.set(title="Does it fall?", xlabel="step")
        plots.show(fig, alt=ALT)
    assert shown[0] == shown[1]


def test_heatmap_writes_every_number():
    _, ax = plots.figure()
    plots.heatmap(ax, [[0.25, -np.inf], [np.nan, np.inf]], ["a", "b"], ["c", "d"])
    assert texts(ax) == ["0.25", "−∞", "NaN", "∞"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "d"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_heatmap_writes_white_on_dark_only():
    _, ax = plots.figure()
    plots.heatmap(ax, [[0.0, 0.4], [0.6, 1.0]], vmax=1)
    assert [t.get_color() for t in ax.texts] == [plots.INK, plots.INK, "#FFFFFF", "#FFFFFF"]
    assert ax.images[0].get_clim() == (0, 1)


def test_heatmap_of_nothing_finite_does_not_warn():
    _, ax = plots.figure()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.heatmap(ax, [[np.nan, np.nan]], digits=0)
    assert texts(ax) == ["NaN", "NaN"]


def test_heatmap_takes_a_tensor_with_a_gradient():
    torch = pytest.importorskip("torch")
    _, ax = plots.figure()
    plots.heatmap(ax, torch.eye(2, requires_grad=True), digits=0)
    assert texts(ax) == ["1", "0", "0", "1"]


def test_band_is_the_range_of_the_runs_around_their_mean():
    _, ax = plots.figure()
    plots.band(ax, [0, 1], [[0.0, 1.0], [2.0, 5.0]], plots.SKY, "runs")
    assert ax.lines[0].get_ydata().tolist() == [1, 3]
    edges = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (0, 5)
    assert texts(ax) == ["runs"] and ax.texts[0].get_color() == plots.TEXT[plots.SKY]


def test_a_reference_is_dashed_grey_and_named():
    _, ax = plots.figure()
    plots.reference(ax, [0, 1], [2, 2], "chance")
    assert (ax.lines[0].get_linestyle(), ax.lines[0].get_color()) == ("--", plots.GREY)
    assert texts(ax) == ["chance"]


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [*plots.COLORS, plots.GREY, plots.INK])
def test_lines_and_their_names_can_be_read(color):
    """WCAG 2: 3 to 1 for lines, 4.5 to 1 for words."""
    contrast = {c: (luminance(PAPER) + 0.05) / (luminance(c) + 0.05) for c in (color, plots.TEXT.get(color, color))}
    assert contrast[color] >= 3
    assert contrast[plots.TEXT.get(color, color)] >= 4.5
