"""One plot style for light and dark pages; every figure says in words what is seen.

A figure is drawn once, transparent, in ink made for white paper; the dark page
inverts it. One axes a file, 3.3 inches wide: two in a cell stand side by side
on a wide page and stacked on a phone. ``figure(wide=True)`` fills the column.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, CRIMSON = "#24509F", "#CB7C14", "#8C1D40"
TEAL, SKY, VERMILION = "#2A7F80", "#6995BA", "#BB4D11"
COLORS = [BLUE, ORANGE, CRIMSON, TEAL, SKY, VERMILION]
GREY = "#666D72"  # the reference line, always dashed
INK = "#1A1D21"
TEXT = {ORANGE: "#8A5800", SKY: "#3D678B"}  # darker twins for words, where the line's colour is too pale
MARKS_AS_PIXELS = 5000  # above this many marks a PNG is smaller and faster than SVG
_FONT = Path(__file__).with_name("fonts") / "IBMPlexSans-Regular.ttf"


def use_style() -> None:
    """Set matplotlib's defaults; no figure is shown unless ``show`` shows it."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import font_manager

    mpl.use("agg")
    _register()
    family = ["DejaVu Sans"]
    if _FONT.exists():
        font_manager.fontManager.addfont(_FONT)
        family.insert(0, font_manager.FontProperties(fname=_FONT).get_name())
    quiet = {k: INK for k in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
    clear = {k: "none" for k in ("figure.facecolor", "axes.facecolor", "savefig.facecolor")}
    settings: Any = mpl.rcParams
    settings.update(
        quiet
        | clear
        | {
            "figure.figsize": (3.3, 2.9),
            "figure.constrained_layout.use": True,
            "font.family": family,
            "font.size": 9.5,
            "mathtext.fontset": "stix",
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.titleweight": "regular",
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLORS),
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "llm90",
            "svg.fonttype": "path",
            "svg.hashsalt": "llm90",
        }
    )


def figure(rows: int = 1, cols: int = 1, *, wide: bool = False, height: float = 2.9) -> tuple[Figure, Any]:
    """A figure and its axes: half a column (3.3 in), or the whole column with ``wide`` (6.8 in).

    More than one axes belongs in a wide figure only; two plots that can stand
    apart are two figures.
    """
    import matplotlib.pyplot as plt

    return plt.subplots(rows, cols, figsize=(6.8 if wide else 3.3, height))


def show(fig: Figure, alt: str, *, photo: bool = False) -> None:
    """Display ``fig`` once, as SVG (PNG where that is smaller), with its alternative text.

    Args:
        fig: the figure; it is closed.
        alt: what is seen, in words, with its numbers taken from variables.
        photo: keep the colours on the dark page (photographs, images of data).

    Raises:
        ValueError: the alternative text is too short to say anything.
    """
    if len(alt.strip()) < 20:
        raise ValueError("plots.show: write alt text that says what is seen (20 characters or more)")
    import matplotlib.pyplot as plt
    from IPython.display import display

    pixels = photo or _marks(fig) > MARKS_AS_PIXELS
    mime, data = ("image/png", _png(fig)) if pixels else ("image/svg+xml", _svg(fig))
    width = round(96 * fig.get_figwidth())
    plt.close(fig)
    meta = {"alt": alt, "photo": photo, "width": width}
    display({mime: data, "text/plain": alt}, metadata={"figure": meta, mime: {"width": width}}, raw=True)


def heatmap(
    ax: Axes,
    matrix: Any,
    rows: Sequence[Any] | None = None,
    cols: Sequence[Any] | None = None,
    *,
    digits: int | None = 2,
    vmax: float | None = None,
) -> None:
    """A matrix (rows, cols) as a map from transparent to blue, with its numbers (``digits=None``: none).

    With ``vmax`` the scale starts at 0; −∞, ∞ and NaN print as such, on no colour.
    """
    import numpy as np

    m = np.asarray(matrix.detach().cpu() if hasattr(matrix, "detach") else matrix, dtype=float)
    shown = np.where(np.isfinite(m), m, np.nan)
    ax.imshow(shown, vmin=0 if vmax else None, vmax=vmax, aspect="auto" if digits is None else "equal")
    if digits is not None:
        ax.set_xticks(range(m.shape[1]), [str(word) for word in (cols if cols is not None else range(m.shape[1]))])
        ax.set_yticks(range(m.shape[0]), [str(word) for word in (rows if rows is not None else range(m.shape[0]))])
        finite = m[np.isfinite(m)] if np.isfinite(m).any() else np.zeros(1)
        middle = ((0.0 if vmax else finite.min()) + (vmax or finite.max())) / 2
        for (i, j), x in np.ndenumerate(m):
            word = f"{x:.{digits}f}" if np.isfinite(x) else "NaN" if np.isnan(x) else "−∞" if x < 0 else "∞"
            dark = np.isfinite(x) and x > middle
            ax.text(j, i, word, ha="center", va="center", fontsize=8.5, color="#FFFFFF" if dark else INK)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def band(ax: Axes, x: Sequence[float], runs: Any, color: str, label: str = "", **style: Any) -> None:
    """Mean line of ``runs`` (runs, points) with the range of all runs as a band, labelled at its end."""
    import numpy as np

    y = np.asarray(runs, dtype=float)
    ax.fill_between(x, y.min(0), y.max(0), color=color, alpha=0.18, lw=0)
    ax.plot(x, y.mean(0), color=color, **style)
    if label:
        name(ax, x[-1], float(y[:, -1].mean()), label, color)


def name(ax: Axes, x: float, y: float, word: str, color: str, **place: Any) -> None:
    """Write a line's name beside the point (x, y), in a colour that is dark enough for words."""
    at = {"xytext": (4, 0), "ha": "left", "va": "center"} | place
    ax.annotate(word, (x, y), textcoords="offset points", color=TEXT.get(color, color), **at)


def reference(ax: Axes, x: Sequence[float], y: Sequence[float], word: str = "") -> None:
    """A dashed grey line: theory, the library, or chance."""
    ax.plot(x, y, "--", color=GREY, lw=1.2)
    if word:
        name(ax, x[-1], y[-1], word, GREY)


def _register() -> None:
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap

    if "llm90" not in mpl.colormaps:
        mpl.colormaps.register(LinearSegmentedColormap.from_list("llm90", ["#24509F00", BLUE]))


def _marks(fig: Figure) -> int:
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    lines: list[Any] = fig.findobj(Line2D)
    points: list[Any] = fig.findobj(PathCollection)
    images: list[Any] = [image for ax in fig.axes for image in ax.images if image.get_array() is not None]
    cells = sum(image.get_array().size for image in images)
    return int(sum(len(one.get_xdata()) for one in lines) + sum(len(one.get_offsets()) for one in points) + cells)


def _svg(fig: Figure) -> str:
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _small(out.getvalue())


def _small(svg: str) -> str:
    """The same picture in about half of the bytes: letters on a coarser grid, all else to a hundredth of a point.

    Single quotes and no line breaks, which a notebook's JSON would escape.
    """

    def letter(found: re.Match[str]) -> str:
        return re.sub(r"-?\d+", lambda n: str(round(int(n[0]) / 16)), found[1]) + '" transform="scale(0.25)"'

    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'(?<= d=")([^"]*)" transform="scale\(0\.015625\)"', letter, svg)
    svg = re.sub(r"(?<![\d.])(-?[1-9]\d*\.\d\d|-?0\.\d\d\d)\d+", r"\1", svg)
    svg = re.sub(r'<g id="\w+?(\.axis)?_\d+"', "<g", svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><").replace('"', "'").replace("IBMPlexSans-", "p")
    return re.sub(r" ?([MLQCz]) ?(?=[-\d'MLQCz])|(?<=[:;]) ", r"\1", svg).strip()


def _png(fig: Figure) -> str:
    """Base64 of a PNG of 192 dots an inch in 256 colours: a third of the bytes, the same to the eye."""
    import base64

    from PIL import Image

    raw, small = io.BytesIO(), io.BytesIO()
    fig.savefig(raw, format="png", dpi=192)
    picture = Image.open(raw).convert("RGBA")
    picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
