"""What ``segment`` tells a person of a run: lines on the terminal, and the lines below the picture."""

from SpineFractureSegLib.engine.metrics import Scores
from SpineFractureSegLib.engine.pipeline import SegmentationResult
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra


def summary(result: SegmentationResult, scores: Scores | None) -> list[str]:
    """What a person wants to see at once."""
    lines = [
        f"Model       {result.model.name}, version {result.model.version}",
        f"Device      {result.device}, {result.precision}, batch {result.batch_size}",
        f"Time        {result.seconds:.1f} s",
        f"Findings    {len(result.findings)}",
    ]
    if result.findings:
        lines.append(f"  {'id':>3}  {'volume':>9}  {'center R, A, S (mm)':>24}  {'extent (mm)':>15}  probability")
    for finding in result.findings:
        center = ", ".join(f"{value:.1f}" for value in finding.centroid_ras_mm)
        extent = " x ".join(f"{value:.0f}" for value in finding.extent_mm)
        lines.append(
            f"  {finding.id:>3}  {finding.volume_mm3 / 1000:>6.1f} mL  {center:>24}  {extent:>15}  "
            f"mean {finding.probability_mean:.2f}, max {finding.probability_max:.2f}"
        )
    if result.spine:
        flagged = [_flagged(vertebra) for vertebra in result.spine if vertebra.flagged]
        lines.append(f"Vertebrae   {len(result.spine)}; flagged: {', '.join(flagged) or 'none'}")
    if scores is not None:
        lines.append(f"Reference   {_agreement(scores)}")
    return lines


def caption(result: SegmentationResult, scores: Scores | None) -> tuple[str, ...]:
    """The lines below the picture."""
    count = len(result.findings)
    found = f"{count} finding{'' if count == 1 else 's'}"
    if result.findings:
        largest = result.findings[0]
        found += f"; largest {largest.volume_mm3 / 1000:.1f} mL, mean probability {largest.probability_mean:.2f}"
    lines = [f"{found}  |  model {result.model.name} {result.model.version}, {result.device}, {result.seconds:.1f} s"]
    if scores is not None:
        lines.append(f"Against the reference: {_agreement(scores)}")
    return tuple(lines)


def _flagged(vertebra: Vertebra) -> str:
    grade = "" if vertebra.genant is None else f", Genant {vertebra.genant}"
    return f"{vertebra.name} ({100 * vertebra.fracture_probability:.0f} %{grade})"


def _agreement(scores: Scores) -> str:
    if scores.both_empty:
        return "no fracture in either"
    return f"Dice {scores.dice:.3f}, IoU {scores.iou:.3f}"
