"""Renders Resources/Screenshots/panel.png: the panel beside slice and 3D views after a real run on the sample CT.

  make screenshot

Everything in the picture comes from the module itself: the sample CT is loaded from Sample Data, Apply is pressed, the
bundled model runs in its own process, Compare is pressed. The window around it is a stand-in of Slicer's, and the
caption says so.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import SlicerStandIn  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

PANEL_WIDTH, HEIGHT, VIEW_WIDTH = 520, 1180, 620
CAPTION = "Panel and views rendered on Slicer's own core with a stand-in of its window. Research use only."


def main() -> None:
    SlicerStandIn.boot()
    import SampleData
    import slicer

    widget = SlicerStandIn.load_module(ROOT / "SpineFractureSeg" / "SpineFractureSeg.py")
    volumeNode, referenceNode = SampleData.SampleDataLogic().downloadSamples("SpineFractureSample")
    referenceNode.GetDisplayNode().SetVisibility(False)
    ui = widget.ui
    ui.applyButton.click()
    if not SlicerStandIn.wait_until(lambda: ui.applyButton.text == "Apply", timeout_s=600):
        raise SystemExit("the segmentation did not end within ten minutes")
    ui.advancedCollapsibleButton.collapsed = True
    ui.evaluationCollapsibleButton.collapsed = False
    ui.referenceSegmentSelector.setCurrentNode(referenceNode)
    ui.referenceSegmentSelector.setCurrentSegmentID(referenceNode.GetSegmentation().GetNthSegmentID(0))
    ui.evaluateButton.click()
    segmentationNode = widget.logic.getParameterNode().outputSegmentation
    segmentationNode.CreateClosedSurfaceRepresentation()

    folder = ROOT / "Resources" / "Screenshots"
    panel = _panel(widget, folder)
    views = _views(volumeNode, ui, folder)
    _compose(panel, views).save(folder / "panel.png", optimize=True)
    print(f"written {folder / 'panel.png'}")
    slicer.mrmlScene.Clear(0)


def _panel(widget, folder: Path) -> Image.Image:
    """The panel as Qt paints it."""
    parent = widget.parent
    parent.resize(PANEL_WIDTH, HEIGHT)
    parent.show()
    SlicerStandIn.process_events(0.5)
    path = folder / "part.png"
    parent.grab().save(str(path))
    return _taken(path)


def _views(volumeNode, ui, folder: Path) -> list[Image.Image]:
    """Axial, sagittal and 3D, moved to the largest finding by choosing its row."""
    from SlicerStandIn.views import SliceView, ThreeDView

    pictures = []
    views = [
        SliceView("Red", "Axial", (VIEW_WIDTH, HEIGHT // 2)),
        SliceView("Yellow", "Sagittal", (VIEW_WIDTH, HEIGHT // 2)),
    ]
    for view in views:
        view.background(volumeNode)
    ui.findingsTableWidget.selectRow(0)
    for view in [*views, ThreeDView("1", (VIEW_WIDTH, HEIGHT))]:
        path = folder / "part.png"
        view.png(path)
        pictures.append(_taken(path))
    return pictures


def _taken(path: Path) -> Image.Image:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    path.unlink()
    return picture


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
