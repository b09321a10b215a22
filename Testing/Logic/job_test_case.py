"""What the tests of jobs share: engines of a few lines, a job that is followed, the search for what one left behind."""

import contextlib
import sys
import time
import unittest
from pathlib import Path
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
import slicer
from scene_test_case import SceneTestCase

import SpineFractureSegLib
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.scene.engine_job import EngineJob, SegmentationSettings
from SpineFractureSegLib.scene.installation import missingPackages

FACTS = '{"device": "cpu", "precision": "float32", "model": "Made", "version": "1", "pid": %d}'

# Every engine below begins with this; `argument("output")` is what follows --output= on its command line.
_PRELUDE = f"""
import json, os, subprocess, sys, time
sys.path.insert(0, {str(Path(SpineFractureSegLib.__file__).resolve().parents[1])!r})
def argument(name):
    return next(word.partition("=")[2] for word in sys.argv if word.startswith("--" + name + "="))
def say(*lines):
    for line in lines:
        print(line if isinstance(line, str) else json.dumps(line), file=sys.stderr, flush=True)
def facts():
    say({FACTS!r} % os.getpid())
def step(done, total=4, stage="sagittal slices"):
    say({{"stage": stage, "done": done, "total": total}})
"""

SLEEPS = "time.sleep(120)"
SLEEPS_AT_WORK = "facts(); step(0); step(1); time.sleep(120)"
STARTS_OTHERS_AND_SLEEPS = (
    "program = 'import subprocess, sys, time; '"
    '\'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", *sys.argv[1:]]); time.sleep(120)\'\n'
    "subprocess.Popen([sys.executable, '-c', program, *sys.argv[1:]])\n"
    "facts(); step(1); time.sleep(120)"
)
WRITES_RESULT = """
import numpy as np, SimpleITK as sitk
from SpineFractureSegLib.engine.writers import write_labels, write_mask, write_probability
ct = sitk.ReadImage(sys.argv[sys.argv.index("segment") + 1])
facts(); step(1); say("warning: a word of warning"); step(4)
mask = ct > 200
probability = sitk.Cast(mask, sitk.sitkFloat32) * 0.75
vertebrae = ct > 100 if "--vertebrae" in sys.argv else None
write_mask(argument("output"), mask, vertebrae, compress=False)
write_probability(argument("probability"), probability, compress=False)
write_labels(argument("bodies"), sitk.Cast(ct > 300, sitk.sitkUInt8) * 3, compress=False)
report = {"ct": "gone", "device": "cpu", "warnings": [], "findings": [], "vertebrae": [], "arguments": sys.argv[1:]}
open(argument("report"), "w").write(json.dumps(report))
"""


@contextlib.contextmanager
def engineOf(code, folder):
    """Jobs inside this block run this code instead of the engine."""
    script = Path(folder) / "engine.py"
    script.write_text(_PRELUDE + code, encoding="utf-8")

    def commandLine(arguments):
        return [sys.executable, str(script), *arguments]

    with patch("SpineFractureSegLib.scene.engine_run.commandLine", commandLine):
        yield


def makeCt():
    """A CT image whose axes, sizes and spacings are all different."""
    values = np.random.default_rng(0).integers(-100, 400, (5, 6, 7)).astype(np.int16)
    ct = sitk.GetImageFromArray(values)
    ct.SetSpacing((0.5, 0.75, 2.0))
    ct.SetOrigin((10.0, -20.0, 300.0))
    ct.SetDirection((0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    return ct


def jobFolders():
    return list(Path(slicer.app.temporaryPath).glob("SpineFractureSeg-*"))


def jobProcesses():
    """The processes that have to do with a job: its folder is on their command lines."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(Path(slicer.app.temporaryPath, "SpineFractureSeg-")) in words:
            found.append(process)
    return [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]


def waitUntil(condition, timeout_s=60.0):
    """Lets the application work until the condition holds; whether it came to hold."""
    deadline = time.monotonic() + timeout_s
    while not (holds := condition()) and time.monotonic() < deadline:
        slicer.app.processEvents()
        time.sleep(0.01)
    return bool(holds)


class Followed:
    """A job that was started, and all that it told."""

    def __init__(self, ct=None, settings=None, onProgress=None):
        self.progress, self.log, self.finished = [], [], []
        self.job = EngineJob(ct or makeCt(), settings or SegmentationSettings())
        self._onProgress = onProgress
        self.job.start(self._remember, self.log.append, lambda *outcome: self.finished.append(outcome))

    def _remember(self, progress):
        self.progress.append(progress)
        if self._onProgress:
            self._onProgress(self.job)

    @property
    def error(self):
        """The exception of the one outcome."""
        ((result, error),) = self.finished
        assert (result is None) != (error is None)
        return error


@unittest.skipIf(missingPackages(), "packages are missing: open the module and press Apply")
class JobTestCase(SceneTestCase):
    def tearDown(self):
        left = jobFolders(), jobProcesses()
        for process in left[1]:
            process.kill()
        waitUntil(lambda: False, timeout_s=0.3)  # what reads the killed process notices its end
        super().tearDown()
        self.assertEqual(left, ([], []))

    def assertCancels(self, followed):
        """``cancel`` ends everything within two seconds, and tells it once."""
        startedAt = time.monotonic()
        followed.job.cancel()
        self.assertLess(time.monotonic() - startedAt, 2.0)
        self.assertEqual((jobFolders(), jobProcesses()), ([], []))
        self.assertFalse(followed.job.isRunning)
        followed.job.cancel()
        waitUntil(lambda: False, timeout_s=0.3)
        self.assertIsInstance(followed.error, Cancelled)

    def finishes(self, followed, timeout_s=120.0):
        self.assertTrue(waitUntil(lambda: followed.finished, timeout_s), "the job did not end")
        self.assertFalse(followed.job.isRunning)
        return followed
