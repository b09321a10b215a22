"""The engine that ships, as a job on a piece of the sample CT: its result, its end at several moments, its refusals."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
from job_test_case import Followed, JobTestCase, jobFolders, jobProcesses, waitUntil

import SpineFractureSegLib
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.engine_job import EngineJob, SegmentationSettings

SAMPLE = Path(SpineFractureSegLib.__file__).resolve().parents[1] / "Resources" / "SampleData"
ON_CPU = SegmentationSettings(device="cpu", planes=("sagittal",))

# PythonSlicer is a launcher: the interpreter is its child.
LAUNCHER = '#!/bin/sh\n"{python}" "$@"\nexit $?\n'

# A program that starts the engine and reads it as Slicer does, and is killed without a chance to clean up.
CRASHING_SLICER = """
import subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in process.stdout:
    print(line, end="", flush=True)
"""


def sampleCt():
    """The fractured vertebra and its neighbors, small enough for a test."""
    ct = sitk.ReadImage(str(SAMPLE / "verse014_L3_simulated_wedge_ct.nii.gz"))
    return ct[10:110, 40:140, 4:38]


class RealEngineTest(JobTestCase):
    def setUp(self):
        super().setUp()
        if os.name != "nt":
            launcher = self.folder / "PythonSlicer"
            launcher.write_text(LAUNCHER.format(python=sys.executable))
            launcher.chmod(0o755)
            path = patch.dict(os.environ, {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"})
            path.start()
            self.addCleanup(path.stop)

    def test_fracture_and_vertebrae_are_found_in_the_background(self):
        ct = sampleCt()
        settings = SegmentationSettings(device="cpu", planes=("sagittal",), vertebrae=True, batchSize=2)
        followed = self.finishes(Followed(ct, settings), timeout_s=300)
        self.assertIsNone(followed.finished[0][1])
        result = followed.finished[0][0]
        self.assertEqual(result.fracture.shape, ct.GetSize()[::-1])
        self.assertGreater(result.fracture.sum(), 1000)
        self.assertGreater(result.vertebrae.sum(), result.fracture.sum())
        self.assertTrue(np.all(result.probability[result.fracture > 0] > 0))
        self.assertEqual((result.report["device"], result.report["batch_size"]), ("cpu", 2))
        self.assertEqual(len(result.report["findings"]) > 0, True)
        self.assertEqual(followed.progress[-1].done, followed.progress[-1].total)
        self.assertEqual({step.device for step in followed.progress}, {"cpu"})

    def test_cancel_while_it_loads(self):
        followed = Followed(sampleCt(), ON_CPU)
        self.assertTrue(waitUntil(lambda: len(jobProcesses()) >= (1 if os.name == "nt" else 2)))
        self.assertCancels(followed)
        self.assertEqual(followed.progress, [])

    def test_cancel_while_the_network_runs(self):
        followed = Followed(sampleCt(), ON_CPU)
        self.assertTrue(waitUntil(lambda: any(step.done for step in followed.progress)))
        self.assertCancels(followed)

    def test_cancel_when_the_last_step_is_done(self):
        followed = Followed(sampleCt(), ON_CPU)
        self.assertTrue(waitUntil(lambda: any(step.done == step.total for step in followed.progress), timeout_s=300))
        self.assertCancels(followed)

    def test_cancel_while_files_are_written(self):
        followed = Followed(sampleCt(), ON_CPU)

        def writes():
            return [path for folder in jobFolders() for path in folder.glob(".spine-fracture-seg-*")]

        self.assertTrue(waitUntil(lambda: writes() or followed.finished, timeout_s=300))
        if not followed.finished:  # they are small: it may be done before it is noticed
            self.assertCancels(followed)

    def test_refusal_of_the_engine_is_the_error(self):
        job = EngineJob(sampleCt(), SegmentationSettings(device="abacus"))
        with self.assertRaisesRegex(UserError, r'^Unknown device "abacus"; use auto'):
            job.run()

    def test_grid_of_a_tilted_gantry_reaches_the_engine(self):
        ct = sampleCt()
        ct.SetDirection((1.0, 0.0, 0.0, 0.0, 1.0, 0.3, 0.0, 0.0, 0.954))
        result = EngineJob(ct, ON_CPU).run()
        self.assertEqual(result.fracture.shape, ct.GetSize()[::-1])

    @unittest.skipIf(os.name == "nt", "signals of this kind are POSIX")
    def test_engine_does_not_outlive_a_slicer_that_crashed(self):
        sitk.WriteImage(sampleCt(), str(self.folder / "ct.nrrd"))
        command = [sys.executable, str(Path(SpineFractureSegLib.__file__).parent / "__main__.py"), "segment"]
        words = [str(self.folder / "ct.nrrd"), f"--output={self.folder / 'm.seg.nrrd'}", "--device=cpu"]
        options = ["--progress=json", "--batch-size=1", "--planes=sagittal"]
        parent = subprocess.Popen(
            [sys.executable, "-c", CRASHING_SLICER, *command, *words, *options], stdout=subprocess.PIPE, text=True
        )
        import psutil

        engine = psutil.Process(json.loads(parent.stdout.readline())["pid"])
        parent.stdout.readline()
        parent.kill()
        parent.wait()
        parent.stdout.close()
        self.assertTrue(waitUntil(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, 30))
        self.assertFalse((self.folder / "m.seg.nrrd").exists(), "it went on to its end")
        self.assertEqual(list(self.folder.glob(".spine*")), [])
