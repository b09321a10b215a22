"""What the tests of the panel share: an opened panel, waiting for events, and an engine that the test itself drives."""

import time
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
from scene_test_case import SHAPE, SceneTestCase, block

from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.scene.engine_job import EngineJob, EngineProgress, EngineResult

MODULE = Path(__file__).resolve().parents[2] / "SpineFractureSeg" / "SpineFractureSeg.py"
MODEL = "spine-fracture-default"


def probabilityOfBlock():
    """0.9 inside the block, 0.33 around it: just below the bundled model's threshold."""
    probability = np.zeros(SHAPE, np.float32)
    probability[1:7, 2:9, 3:10] = 0.33
    probability[block() > 0] = 0.9
    return probability


def engineResult(probability=None, warnings=(), model=MODEL):
    probability = probabilityOfBlock() if probability is None else probability
    report = {
        "device": "cuda:0",
        "precision": "float16",
        "batch_size": 8,
        "seconds": 1.5,
        "model": {"name": model, "version": "1", "threshold": 0.65, "min_volume_mm3": 0.0},
        "warnings": list(warnings),
        "findings": [],
        "vertebrae": [],
    }
    return EngineResult((probability >= 0.65).astype(np.uint8), None, probability, report)


def ctValues(shape=SHAPE):
    """Air and bone, so that the volume passes for a CT."""
    values = np.full(shape, 40, np.int16)
    values[0], values[-1] = -1000, 400
    return values


class DrivenEngine:
    """Takes the place of the engine's process: the test says what it does, and when."""

    def __init__(self):
        self.settings = None  # of the last start
        self.starts = 0
        self._callbacks = None

    def patch(self):
        engine = self

        def start(job, onProgress=None, onLog=None, onFinished=None):
            engine.starts += 1
            engine.settings = job._settings
            engine._callbacks = (onProgress, onLog, onFinished)

        def cancel(_job):
            engine._end(None, Cancelled("cancelled"))

        return mock.patch.multiple(EngineJob, start=start, cancel=cancel)

    @property
    def isRunning(self):
        return self._callbacks is not None

    def progress(self, done, total, stage="sagittal slices", device="cuda:0"):
        self._callbacks[0](EngineProgress(stage, done, total, device, 3.0))

    def log(self, line):
        self._callbacks[1](line)

    def finish(self, result=None):
        self._end(result or engineResult(), None)

    def fail(self, error):
        self._end(None, error)

    def _end(self, result, error):
        if self._callbacks is not None:
            (_, _, onFinished), self._callbacks = self._callbacks, None
            onFinished(result, error)


class PanelTestCase(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.engine = DrivenEngine()
        self.openPanel()

    def driveEngine(self):
        """From here on no process is started, and no package is asked for."""
        for patch in (
            self.engine.patch(),
            mock.patch("SpineFractureSegLib.scene.panel.missingPackages", return_value=[]),
            mock.patch("SpineFractureSegLib.scene.installation.missingPackages", return_value=[]),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def openPanel(self):
        if not hasattr(slicer.modules, "spinefractureseg"):  # outside of the application
            import SlicerStandIn

            SlicerStandIn.load_module(MODULE)
        slicer.util.selectModule("SpineFractureSeg")
        self.widget = slicer.util.getModuleWidget("SpineFractureSeg")
        self.ui, self.logic = self.widget.ui, self.widget.logic
        self.addCleanup(self.widget.panel.stop, "The test is over.")

    @property
    def parameters(self):
        return self.logic.getParameterNode()

    def addCt(self, name="CT", values=None, **options):
        volumeNode = self.makeVolume(ctValues() if values is None else values, name=name, **options)
        self.processEvents()
        return volumeNode

    def processEvents(self, seconds=0.02):
        until = time.monotonic() + seconds
        while True:
            slicer.app.processEvents()
            if time.monotonic() >= until:
                return
            time.sleep(0.005)

    def waitUntil(self, condition, timeout_s=240):
        until = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), until, "waited in vain")
            self.processEvents()

    def apply(self):
        self.assertTrue(self.ui.applyButton.enabled, self.ui.applyButton.toolTip)
        self.ui.applyButton.click()

    def run_(self, result=None):
        """Apply, and the driven engine is done at once."""
        self.apply()
        self.engine.finish(result)
        return self.parameters.outputSegmentation

    def cell(self, table, row, column):
        return table.item(row, column).text()
