"""Renders Resources/Screenshots/panel.png: the panel beside slice and 3D views after a real run on the sample CT.

  make screenshot

Everything in the picture comes from the module itself: the sample CT is loaded from Sample Data, Apply is pressed, the
bundled model runs in its own process, Compare is pressed. The window around it is a stand-in of Slicer's, and the
caption says so.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import SlicerStandIn  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

PANEL_WIDTH, HEIGHT, VIEW_WIDTH = 520, 1240, 620
CAPTION = "Panel and views rendered on Slicer's own core with a stand-in of its window. Research use only."


def main() -> None:
    SlicerStandIn.boot()
    import SampleData
    import slicer

    widget = SlicerStandIn.load_module(ROOT / "SpineFractureSeg" / "SpineFractureSeg.py")
    volumeNode, referenceNode = SampleData.SampleDataLogic().downloadSamples("SpineFractureSample")
    referenceNode.GetDisplayNode().SetVisibility(False)
    SlicerStandIn.process_events(0.2)
    ui = widget.ui
    ui.vertebraeCheckBox.checked = True
    ui.applyButton.click()
    if not SlicerStandIn.wait_until(lambda: ui.applyButton.text == "Apply", timeout_s=600):
        raise SystemExit("the segmentation did not end within ten minutes")
    ui.advancedCollapsibleButton.collapsed = True
    ui.evaluationCollapsibleButton.collapsed = False
    ui.referenceSegmentSelector.setCurrentNode(referenceNode)
    ui.referenceSegmentSelector.setCurrentSegmentID(referenceNode.GetSegmentation().GetNthSegmentID(0))
    ui.evaluateButton.click()
    ui.show3DButton.click()
    SlicerStandIn.process_events(0.2)

    picture = _compose(_panel(widget), _views(volumeNode, ui))
    path = ROOT / "Resources" / "Screenshots" / "panel.png"
    picture.save(path, optimize=True)
    print(f"written {path}")
    slicer.mrmlScene.Clear(0)


def _panel(widget) -> Image.Image:
    """The panel as Qt paints it."""
    parent = widget.parent
    parent.resize(PANEL_WIDTH, HEIGHT)
    parent.show()
    SlicerStandIn.process_events(0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.png"
        parent.grab().save(str(path))
        with Image.open(path) as image:
            return image.convert("RGB").crop((0, 0, PANEL_WIDTH, HEIGHT))


def _views(volumeNode, ui) -> list[Image.Image]:
    """Axial, sagittal and 3D, moved to the largest finding by choosing its row."""
    from SlicerStandIn.views import SliceView, ThreeDView

    slices = [SliceView(name, (VIEW_WIDTH, HEIGHT // 2)) for name in ("Red", "Yellow")]
    for view in slices:
        view.showVolume(volumeNode)
    ui.findingsTableWidget.selectRow(0)
    for view, factor in zip(slices, (1.7, 1.15), strict=True):
        view.zoom(factor)
    threeD = ThreeDView((VIEW_WIDTH, HEIGHT))
    threeD.lookFrom("Left", 1.7)
    return [Image.fromarray(view.picture()) for view in (*slices, threeD)]


def _compose(panel: Image.Image, views: list[Image.Image]) -> Image.Image:
    axial, sagittal, threeD = views
    gap, footer = 6, 34
    width = panel.width + 2 * VIEW_WIDTH + 2 * gap
    picture = Image.new("RGB", (width, HEIGHT + footer), "#20242c")
    picture.paste(panel, (0, 0))
    left = panel.width + gap
    picture.paste(axial, (left, 0))
    picture.paste(sagittal, (left, HEIGHT // 2 + gap))
    picture.paste(threeD, (left + VIEW_WIDTH + gap, 0))
    draw = ImageDraw.Draw(picture)
    draw.text((10, HEIGHT + 8), CAPTION, fill="white", font=ImageFont.load_default(16))
    return picture


if __name__ == "__main__":
    main()
