import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from SpineFractureSegLib.engine.html_report import Curve, Html, gallery, image_tag, page, svg_curves, table

NAN = float("nan")


class Balanced(HTMLParser):
    """Raises where an element is closed that is not the last one opened; keeps what was seen."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def drawing(figure):
    """The SVG element of a figure."""
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", figure, re.DOTALL)[0])


def paths(figure):
    return [path.get("d") for path in drawing(figure).iter("path") if path.get("class") != "grid"]


def test_a_page_is_one_well_formed_file_without_anything_from_elsewhere():
    picture = image_tag(Image.new("RGB", (4, 3), (255, 0, 0)), "a case")
    curves = svg_curves([Curve("loss", [1, 2], [0.5, 0.25])], x_label="epoch")
    text = page(
        "Run <1>", [("First & last", ["Words < 3.", table([["a", 1]])]), ("Pictures", gallery([picture, curves]))]
    )
    seen = Balanced(text)
    assert "Run <1>" in seen.text
    assert "Words < 3." in seen.text
    assert "First & last" in seen.text
    for tag, attributes in seen.tags:
        assert tag not in ("script", "link", "iframe")
        assert attributes.get("src", "data:").startswith("data:")
    assert not re.search("https?:", text)


def test_names_that_look_like_markup_stay_text():
    evil = "<script>alert(1)</script>\"'&"
    figure = svg_curves([Curve(evil, [0, 1], [0, 1])], x_label=evil, y_label=evil, caption=evil)
    picture = image_tag(Image.new("L", (2, 2)), evil)
    seen = Balanced(page(evil, [(evil, [evil, table([[evil]], header=[evil]), figure, picture])]))
    assert all(tag != "script" for tag, _ in seen.tags)
    assert seen.text.count(evil) == 11


def test_an_image_comes_back_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    data = re.search(r"base64,([^\"]*)", image_tag(Image.fromarray(pixels)))[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as back:
        np.testing.assert_array_equal(np.asarray(back), pixels)


def test_cells_show_numbers_short_and_what_is_missing_as_a_dash():
    text = table([["Dice", 0.123456, 7, None, NAN, True, Html("<b>x</b>")]])
    seen = Balanced(text)
    assert seen.text == "Dice0.12357\N{EN DASH}\N{EN DASH}Truex"
    assert "<b>x</b>" in text


def test_a_line_goes_from_the_lower_left_to_the_upper_right_of_the_axes():
    figure = svg_curves([Curve("up", [0, 10], [-1, 3])], size=(460, 300))
    (path,) = paths(figure)
    (x0, y0), (x1, y1) = [tuple(map(float, point.split())) for point in re.findall(r"[\d.]+ [\d.]+", path)]
    clip = drawing(figure).find("svg")
    left, top, width, height = map(float, clip.get("viewBox").split())
    assert (x0, y0) == pytest.approx((left, top + height), abs=0.1)
    assert (x1, y1) == pytest.approx((left + width, top), abs=0.1)


def test_a_value_that_is_not_finite_leaves_a_gap_and_a_lone_value_a_dot():
    figure = svg_curves([Curve("a", range(6), [1, 2, NAN, 3, float("inf"), 5])])
    (path,) = paths(figure)
    assert path.count("M") == 3
    assert len(list(drawing(figure).iter("circle"))) == 2  # 3 and 5 have no neighbor


@pytest.mark.parametrize("curves", [[], [Curve("none", [], [])], [Curve("nan", [1], [NAN])], [Curve("one", [2], [5])]])
def test_too_few_values_for_a_line_still_give_axes(curves):
    figure = svg_curves(curves)
    labels = [text.text for text in drawing(figure).iter("text") if text.text]
    assert len(labels) >= 4
    assert all(abs(float(label)) < 10 for label in labels)


def test_given_ranges_rule_the_axes():
    figure = svg_curves([Curve("a", [0, 1], [0.2, 0.3])], y_range=(0, 1))
    labels = [text.text for text in drawing(figure).iter("text") if text.get("text-anchor") == "end"]
    assert [float(label) for label in labels] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_curve_with_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="'a': 2 x and 1 y"):
        Curve("a", [1, 2], [1])
