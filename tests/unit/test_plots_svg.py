"""Figures are stored small: the bytes are what the limit of an executed copy counts."""

import json
import xml.etree.ElementTree as ET

from helpers import plots


def _figure():
    plots.use_style()
    fig, ax = plots.figure()
    ax.plot([0, 1, 2], [0.1234567, 0.5, 0.9], label="a line")
    ax.set(title="Which? “quoted” & <marked>", xlabel="steps", ylabel="loss (nats)")
    return fig


def test_small_svg_is_well_formed_and_a_third_smaller():
    import io

    raw = io.StringIO()
    _figure().savefig(raw, format="svg", metadata={"Date": None, "Creator": None})
    small = plots._small(raw.getvalue())
    root = ET.fromstring(small)
    assert root.tag.endswith("svg") and root.attrib["viewBox"] == ET.fromstring(raw.getvalue()).attrib["viewBox"]
    assert len(json.dumps(small)) < 0.67 * len(json.dumps(raw.getvalue()))
    assert small == plots._svg(_figure()), "the same figure gives the same bytes"


def test_small_svg_keeps_every_letter():
    import io
    import re

    raw = io.StringIO()
    _figure().savefig(raw, format="svg")
    small = plots._small(raw.getvalue())
    letters = {f"p{code}" for code in re.findall(r'id="IBMPlexSans-([0-9a-f]+)"', raw.getvalue())}
    assert len(letters) > 15
    assert letters <= set(re.findall(r"id='(\w+)'", small)) & set(re.findall(r"href='#(\w+)'", small))
