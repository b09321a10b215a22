"""CSV and HTML: every number of every vertebra, nothing invented where nothing was measured, nothing half written."""

import csv
from html.parser import HTMLParser

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.findings import find_lesions
from SpineFractureSegLib.engine.spine_report.outside import findings_outside
from SpineFractureSegLib.engine.spine_report.page import RunFacts, spine_page, write_spine_page
from SpineFractureSegLib.engine.spine_report.table import CSV_COLUMNS, flagged_first, write_spine_csv

FACTS = RunFacts("a <b>.nii", "Model 7", "cpu", 12.34, 0.65, ("The slices are 6 mm apart.",))


class Tables(HTMLParser):
    """Cells of all tables, and what a page must not hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables, self.tags, self._cell = [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.sources = getattr(self, "sources", []) + [v for k, v in attributes if k in ("src", "href")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._cell &= tag not in ("td", "th")

    def handle_data(self, data):
        if self._cell:
            self.tables[-1][-1][-1] += data


def test_flagged_vertebrae_come_first_and_both_groups_from_the_top_down(spine):
    assert [vertebra.number for vertebra in flagged_first(reversed(spine))] == [2, 1, 3]


def test_the_csv_holds_every_measure_from_the_top_down(tmp_path, spine):
    write_spine_csv(tmp_path / "spine.csv", spine)
    with (tmp_path / "spine.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert [row["level"] for row in rows] == ["L1", "L2", ""]
    assert [row["flagged"] for row in rows] == ["0", "1", "0"]
    assert rows[1]["genant"] == "2"
    assert float(rows[1]["anterior_mm"]) == 15.0
    assert float(rows[1]["anterior_loss"]) == 0.4
    assert float(rows[1]["fracture_probability"]) == 0.82
    assert (rows[0]["r_mm"], rows[0]["a_mm"], rows[0]["s_mm"]) == ("1.50", "-20.25", "270.00")
    assert rows[1]["notes"] == "Cement raises the density."
    unmeasured = ("genant", "anterior_mm", "width_mm", "posterior_loss", "trabecular_hu")
    assert [rows[2][name] for name in unmeasured] == [""] * 5  # not 0, and not "None"


def test_a_csv_that_cannot_be_written_leaves_nothing(tmp_path, spine):
    with pytest.raises(UserError, match="cannot be written"):
        write_spine_csv(tmp_path / "no folder" / "spine.csv", spine)
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_the_flagged_vertebra_first_and_a_dash_where_nothing_was_measured(spine):
    found = Tables(spine_page(FACTS, spine, [])).tables[0]
    header, *rows = found
    assert [row[0] for row in rows] == ["L2", "L1", "vertebra 3 (cut)"]
    assert rows[0][header.index("Flagged")] == "yes"
    assert rows[0][header.index("Genant")] == "2"
    assert rows[0][header.index("Anterior mm")] == "15.0"
    assert rows[0][header.index("Anterior loss")] == "40 %"
    assert rows[1][header.index("Genant")] == "0"
    assert rows[2][header.index("Genant")] == rows[2][header.index("Trabecular HU")] == "\u2013"


def test_the_page_needs_nothing_beside_it_and_escapes_names(tmp_path, spine):
    picture = Image.new("RGB", (8, 8), (255, 140, 26))
    write_spine_page(tmp_path / "r.html", FACTS, spine, [], [(picture, "The straightened spine")])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parsed = Tables(text)
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    assert len(parsed.sources) == 1
    assert not parsed.tags & {"script", "link", "iframe"}
    assert "a <b>.nii" not in text
    assert "a &lt;b&gt;.nii" in text
    for expected in ("not a medical device", "1 of 3 vertebrae flagged: L2", "6 mm apart", "Cement raises", "Model 7"):
        assert expected in text


def test_findings_outside_of_bodies_have_their_own_table(spine):
    mask = sitk.GetImageFromArray(np.pad(np.ones((4, 4, 4), np.uint8), 3))
    findings = find_lesions(mask, sitk.Cast(mask, sitk.sitkFloat32))
    parsed = Tables(spine_page(FACTS, spine, findings))
    assert parsed.tables[1][1][:2] == ["1", "0.06"]
    assert len(Tables(spine_page(FACTS, [], [])).tables) == 1  # of the run alone


def test_a_finding_belongs_to_a_body_from_a_tenth_of_its_voxels_on():
    mask, bodies = np.zeros((12, 30, 30), np.uint8), np.zeros((12, 30, 30), np.uint8)
    mask[2:10, 2:12, 2:12] = 1  # 800 voxels, half of them in a body
    bodies[2:10, 2:12, 2:7] = 3
    mask[2:10, 2:12, 20:28] = 1  # 640 voxels, a twentieth of them in another
    bodies[2:10, 2:6, 20:21] = 4
    mask[4:6, 20:22, 4:6] = 1  # 8 voxels in none
    images = [sitk.GetImageFromArray(array) for array in (mask, bodies)]
    for image in images:
        image.SetSpacing((0.7, 0.8, 2.5))
        image.SetOrigin((3.3, -17.1, 250.7))
    probability = sitk.Cast(images[0], sitk.sitkFloat32) * 0.9
    findings = find_lesions(images[0], probability)
    outside = findings_outside(findings, images[0], probability, images[1])
    assert [finding.id for finding in outside] == [2, 3]
    assert outside == findings[1:]
    assert findings_outside([], images[0] * 0, probability, images[1]) == []
