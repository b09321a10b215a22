"""How long the user waits: from pressing Apply to the first progress and to the result, and from Cancel to the end.

  .venv/bin/python Testing/Benchmarks/panel_times.py [CT.nii.gz ...]

Without a CT the sample CT. Each is run once to warm the disk's cache and then three times; the medians are printed. The
panel runs on the stand-in of Slicer, the engine and its process are the real ones.
"""

import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import SlicerStandIn  # noqa: E402

RUNS = 3
TIMEOUT_S = 3600


def main(paths: list[str]) -> None:
    SlicerStandIn.boot()
    import SampleData
    import slicer

    widget = SlicerStandIn.load_module(ROOT / "SpineFractureSeg" / "SpineFractureSeg.py")
    for path in paths or [""]:
        sample = SampleData.SampleDataLogic().downloadSamples
        volumeNode = slicer.util.loadVolume(path) if path else sample("SpineFractureSample")[0]
        size = " x ".join(map(str, volumeNode.GetImageData().GetDimensions()))
        SlicerStandIn.process_events(0.2)
        widget.ui.inputVolumeSelector.setCurrentNode(volumeNode)
        runs = [_run(widget.ui) for _ in range(RUNS + 1)][1:]
        pressed, first, done = (statistics.median(run[part] for run in runs) for part in range(3))
        print(
            f"{volumeNode.GetName()}, {size}: panel free again after {pressed:.2f} s, first progress {first:.1f} s, "
            f"result {done:.1f} s, cancel in the middle {_cancel(widget.ui):.2f} s; {widget.ui.statusLabel.text}"
        )


def _run(ui) -> tuple[float, float, float]:
    """Seconds from pressing Apply until the button returns, until the first progress, until the result is shown."""
    start = time.perf_counter()
    ui.applyButton.click()
    pressed = time.perf_counter() - start
    SlicerStandIn.wait_until(lambda: ui.progressBar.maximum > 0, TIMEOUT_S)
    first = time.perf_counter() - start
    SlicerStandIn.wait_until(lambda: ui.applyButton.text == "Apply", TIMEOUT_S)
    if ui.messageLabel.text:
        print(ui.messageLabel.text)
    return pressed, first, time.perf_counter() - start


def _cancel(ui) -> float:
    """Seconds that pressing Cancel takes, after which all of the engine is gone."""
    status = ui.statusLabel.text
    ui.applyButton.click()
    SlicerStandIn.wait_until(lambda: ui.progressBar.maximum > 0 and ui.progressBar.value > 0, TIMEOUT_S)
    start = time.perf_counter()
    ui.applyButton.click()
    seconds = time.perf_counter() - start
    ui.statusLabel.text = status
    return seconds


if __name__ == "__main__":
    main(sys.argv[1:])
