"""Pictures of a run, as SVG that stands in the page itself.

Each is drawn twice, for wide and for narrow screens. Colours are placeholders that become variables of the page's style
sheet, so the pictures follow its light and dark side, and print.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from latency import Histogram
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

SIZES = {"wide": (9.2, 2.5), "narrow": (3.7, 2.5)}
"""Inches."""
_MARGINS = (0.72, 0.08, 0.45, 0.28)
"""Left, right, bottom and top, in inches; to have them worked out takes twice as long."""
_COLOURS = {
    "ink": "#0a0b0c",
    "faint": "#0a0b0d",
    "one": "#0a0b01",
    "two": "#0a0b02",
    "three": "#0a0b03",
    "four": "#0a0b04",
}
_LINES = ("one", "two", "three", "four")
_STYLES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.2, 1, 1.2)))
"""Lines differ in their dashes, too, for those who see no colours and for printing."""
_FONT = re.compile(r"font: ([0-9.]+)px [^;\"]*")
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_META = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"| height="[0-9.]+pt"')
_BUCKETS_PER_DECADE = 12


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its name, and a value for each moment."""

    name: str
    values: Sequence[float | None]


def over_time(
    title: str,
    unit: str,
    moments: Sequence[float],
    lines: Sequence[Line],
    phases: Mapping[str, float],
    *,
    log: bool = False,
) -> str:
    """Draw lines over time; returns both sizes.

    Args:
        title: What is shown; it is the text for those who see no picture.
        unit: Of the values.
        moments: Seconds.
        lines: At most four.
        phases: The name of each phase, and when it begins.
        log: The values have a logarithmic scale.
    """

    def draw(axes: Axes, size: str) -> None:
        for line, colour, style in zip(lines, _LINES, _STYLES, strict=False):
            values = [float("nan") if value is None else value for value in line.values]
            axes.plot(moments, values, color=_COLOURS[colour], linestyle=style, linewidth=1.6, label=line.name)
        for name, begins in phases.items():
            axes.axvline(begins, color=_COLOURS["faint"], linewidth=0.8)
            if size == "narrow":  # there is no room for names
                continue
            axes.annotate(
                name,
                (begins, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -3),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=_COLOURS["ink"],
            )
        axes.set_xlabel("seconds")
        axes.set_ylabel(unit)
        axes.set_xlim(0, max(moments))
        least, most = axes.get_ylim()
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_ylim(top=most * 2)
        else:
            axes.set_ylim(0, most + (most - min(least, 0)) * 0.15)  # the names of phases stand above the lines
        if len(lines) > 1:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=len(lines), frameon=False, fontsize=9)

    return _both(title, draw)


def latencies(title: str, histograms: Mapping[str, Histogram]) -> str:
    """Draw at most four histograms on a logarithmic scale of milliseconds."""
    buckets = {name: _buckets(histogram) for name, histogram in histograms.items()}

    def draw(axes: Axes, _: str) -> None:
        for (name, (edges, parts)), colour, style in zip(buckets.items(), _LINES, _STYLES, strict=False):
            axes.stairs(parts, edges, color=_COLOURS[colour], linestyle=style, linewidth=1.6, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("% of answers")
        axes.set_ylim(bottom=0)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=max(len(histograms), 1), frameon=False, fontsize=9
        )

    return _both(title, draw)


def _buckets(histogram: Histogram) -> tuple[list[float], list[float]]:
    """Return the edges of buckets that are equally wide on a logarithmic scale, and the part of values in each."""
    counted: dict[int, int] = {}
    for milliseconds, times in histogram.values():
        index = math.floor(_BUCKETS_PER_DECADE * math.log10(milliseconds))
        counted[index] = counted.get(index, 0) + times
    if not counted:
        return [0.1, 1.0], [0.0]
    first, last, total = min(counted), max(counted), sum(counted.values())
    edges = [10 ** (index / _BUCKETS_PER_DECADE) for index in range(first, last + 2)]
    return edges, [100 * counted.get(index, 0) / total for index in range(first, last + 1)]


def _both(title: str, draw: Callable[[Axes, str], None]) -> str:
    return "\n".join(_svg(title, size, draw) for size in SIZES)


def _svg(title: str, size: str, draw: Callable[[Axes, str], None]) -> str:
    """Draw one picture, and make its colours and its size those of the page."""
    settings = {
        "svg.fonttype": "none",  # as text, so that it can be read and searched
        "svg.hashsalt": f"{title} {size}",  # names within pictures differ, for several stand in one page
        "axes.edgecolor": _COLOURS["faint"],
        "axes.labelcolor": _COLOURS["ink"],
        "text.color": _COLOURS["ink"],
        "xtick.color": _COLOURS["ink"],
        "ytick.color": _COLOURS["ink"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": _COLOURS["faint"],
        "grid.linewidth": 0.5,
        "font.size": 9,
    }
    with mpl.rc_context(settings):
        width, height = SIZES[size]
        figure = Figure(figsize=(width, height))
        left, right, bottom, top = _MARGINS
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
        draw(figure.add_subplot(), size)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = _META.sub("", _HEAD.sub("", written.getvalue()))
    svg = _SIZE.sub(lambda found: found[1] or "", svg)
    svg = _FONT.sub(r"font-size: \1px", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg class="{size}" role="img" aria-label="{label}" ', 1)
