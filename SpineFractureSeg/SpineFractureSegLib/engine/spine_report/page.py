"""The report that a person reads: one HTML file with pictures, the spine table, and what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.findings import Finding
from SpineFractureSegLib.engine.html_report import Html, gallery, image_tag, page, table
from SpineFractureSegLib.engine.report import NOTICE
from SpineFractureSegLib.engine.spine_report.table import flagged_first
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

_CAVEATS = (
    "Fractures can be missed and intact vertebrae flagged: look at the CT yourself.",
    "Heights are those of the outlined bodies. Vertebrae without a level are numbered from the top of this CT.",
    "The mean of the trabecular bone in Hounsfield units depends on tube voltage and contrast medium and is no bone "
    "density measurement.",
)


@dataclass(frozen=True)
class RunFacts:
    """What was segmented, and how."""

    ct: str  # name of the CT
    model: str  # name and version
    device: str
    seconds: float
    threshold: float
    warnings: tuple[str, ...] = ()


def write_spine_page(
    path: str | Path,
    facts: RunFacts,
    spine: Sequence[Vertebra],
    outside: Sequence[Finding],
    pictures: Sequence[tuple[Image.Image, str]] = (),
) -> None:
    """Writes the page.

    Args:
        facts: of the run.
        spine: from the top down; the table shows the flagged ones first.
        outside: findings outside of all bodies.
        pictures: with what stands below each.

    Raises: UserError, when it cannot be written.
    """
    text = spine_page(facts, spine, outside, pictures)
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def spine_page(
    facts: RunFacts,
    spine: Sequence[Vertebra],
    outside: Sequence[Finding],
    pictures: Sequence[tuple[Image.Image, str]] = (),
) -> str:
    """The same as text."""
    sections = [("Result", [_summary(spine, outside), NOTICE])]
    if pictures:
        sections.append(("Pictures", gallery(image_tag(image, caption) for image, caption in pictures)))
    if spine:
        sections.append(("Vertebrae", [_spine_table(spine), *_notes(spine)]))
    if outside:
        sections.append(("Findings outside of vertebral bodies", _findings_table(outside)))
    sections.append(("What to keep in mind", _CAVEATS))
    sections.append(("Run", [_facts_table(facts), *facts.warnings]))
    return page(f"Spine report: {facts.ct}", sections)


def _summary(spine: Sequence[Vertebra], outside: Sequence[Finding]) -> str:
    flagged = [vertebra.name for vertebra in spine if vertebra.flagged]
    parts = [f"{len(flagged)} of {len(spine)} vertebrae flagged" + (f": {', '.join(flagged)}" if flagged else "")]
    if outside:
        parts.append(f"{len(outside)} finding{'' if len(outside) == 1 else 's'} outside of vertebral bodies")
    return "; ".join(parts) + "."


def _spine_table(spine: Sequence[Vertebra]) -> Html:
    header = ["Vertebra", "Flagged", "Probability", "Genant", *(f"{place.capitalize()} mm" for place in PLACES)]
    header += ["Width mm", "Depth mm", *(f"{place.capitalize()} loss" for place in PLACES), "Trabecular HU"]
    return table([_spine_row(vertebra) for vertebra in flagged_first(spine)], header=header)


def _spine_row(vertebra: Vertebra) -> list[object]:
    heights = [getattr(vertebra, f"{place}_mm") for place in PLACES]
    lengths = [_fixed(value, 1) for value in (*heights, vertebra.width_mm, vertebra.depth_mm)]
    losses = [_fixed((vertebra.height_loss or {}).get(place), 0, " %", 100.0) for place in PLACES]
    name = vertebra.name if vertebra.complete else f"{vertebra.name} (cut)"
    probability = _fixed(vertebra.fracture_probability, 2)
    flag = Html("<strong>yes</strong>") if vertebra.flagged else ""
    return [name, flag, probability, vertebra.genant, *lengths, *losses, _fixed(vertebra.trabecular_hu, 0)]


def _notes(spine: Sequence[Vertebra]) -> list[str]:
    return [f"{vertebra.name}: {' '.join(vertebra.notes)}" for vertebra in spine if vertebra.notes]


def _findings_table(outside: Sequence[Finding]) -> Html:
    rows = [
        [
            finding.id,
            _fixed(finding.volume_mm3 / 1000, 2),
            ", ".join(f"{value:.1f}" for value in finding.centroid_ras_mm),
            " \u00d7 ".join(f"{value:.0f}" for value in finding.extent_mm),
            _fixed(finding.probability_mean, 2),
        ]
        for finding in outside
    ]
    return table(rows, header=["Finding", "Volume mL", "Center R, A, S mm", "Extent mm", "Mean probability"])


def _facts_table(facts: RunFacts) -> Html:
    return table(
        [
            ["CT", facts.ct],
            ["Model", facts.model],
            ["Threshold", f"{facts.threshold:g}"],
            ["Device", facts.device],
            ["Time", f"{facts.seconds:.1f} s"],
        ]
    )


def _fixed(value: float | None, places: int, unit: str = "", factor: float = 1.0) -> str | None:
    return None if value is None else f"{factor * value:.{places}f}{unit}"
