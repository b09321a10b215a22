"""A job of the engine: its result, its end by every cause, and that nothing of it stays behind.

The engines here are a few lines of Python; ``test_real_engine`` has the one that ships.
"""

import os
import threading
import unittest
from pathlib import Path
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
import slicer
from job_test_case import (
    SLEEPS,
    SLEEPS_AT_WORK,
    STARTS_OTHERS_AND_SLEEPS,
    WRITES_RESULT,
    Followed,
    JobTestCase,
    engineOf,
    jobProcesses,
    makeCt,
    waitUntil,
)

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_job import EngineJob, SegmentationSettings


class EngineJobTest(JobTestCase):
    # --- results

    def test_result_comes_back_on_the_grid_of_the_ct(self):
        ct, seen = makeCt(), []
        with engineOf(WRITES_RESULT, self.folder):
            result = EngineJob(ct, SegmentationSettings()).run(seen.append)
        values = sitk.GetArrayFromImage(ct)
        self.assertTrue(np.array_equal(result.fracture, values > 200))
        self.assertEqual((result.fracture.dtype, result.probability.dtype), (np.uint8, np.float32))
        self.assertTrue(np.array_equal(result.probability, (values > 200) * np.float32(0.75)))
        self.assertIsNone(result.vertebrae)
        self.assertEqual([(step.done, step.total) for step in seen], [(1, 4), (4, 4)])
        self.assertEqual({step.stage for step in seen}, {"sagittal slices"})
        self.assertEqual({step.device for step in seen}, {"cpu"})
        self.assertGreaterEqual(seen[1].elapsed_s, seen[0].elapsed_s)

    def test_background_gives_what_waiting_gives_and_then_a_second_job_does(self):
        settings = SegmentationSettings(vertebrae=True)
        with engineOf(WRITES_RESULT, self.folder):
            waited = EngineJob(makeCt(), settings).run()
            for _ in range(2):
                followed = self.finishes(Followed(settings=settings))
                self.assertIsNone(followed.error)
                result = followed.finished[0][0]
                self.assertTrue(np.array_equal(result.fracture, waited.fracture))
                self.assertTrue(np.array_equal(result.vertebrae, waited.vertebrae))
                self.assertGreater(result.vertebrae.sum(), result.fracture.sum())
                self.assertEqual(followed.log, ["warning: a word of warning"])
                followed.job.cancel()
                self.assertEqual(len(followed.finished), 1)

    def test_settings_reach_the_engine_and_unset_ones_do_not(self):
        settings = SegmentationSettings("mine", "cuda:1", ("axial", "coronal"), 0.25, 100.0, 3, True)
        with engineOf(WRITES_RESULT, self.folder):
            given = EngineJob(makeCt(), settings).run().report["arguments"]
            plain = EngineJob(makeCt(), SegmentationSettings()).run().report["arguments"]
        expected = ["--model=mine", "--device=cuda:1", "--planes=axial,coronal", "--threshold=0.25"]
        self.assertEqual(given[-7:], [*expected, "--min-volume=100.0", "--batch-size=3", "--vertebrae"])
        self.assertEqual(plain[-2:], ["--progress=json", "--device=auto"])

    def test_folders_with_any_letters_are_fine(self):
        folder = self.folder / "Ordner für 漢字"
        with patch.object(slicer.app, "temporaryPath", str(folder), create=True), engineOf(WRITES_RESULT, self.folder):
            self.assertIsNotNone(EngineJob(makeCt(), SegmentationSettings()).run().fracture)
            self.assertEqual(list(folder.iterdir()), [])

    def test_job_runs_once(self):
        with engineOf(WRITES_RESULT, self.folder):
            job = EngineJob(makeCt(), SegmentationSettings())
            job.run()
            with self.assertRaisesRegex(ValueError, "runs once"):
                job.run()

    # --- cancel

    def test_cancel_at_once(self):
        with engineOf(SLEEPS, self.folder):
            self.assertCancels(Followed())

    def test_cancel_before_the_first_line(self):
        with engineOf(SLEEPS, self.folder):
            followed = Followed()
            self.assertTrue(waitUntil(jobProcesses))
            waitUntil(lambda: False, timeout_s=0.5)
            self.assertCancels(followed)

    def test_cancel_at_work_ends_what_the_engine_started_too(self):
        with engineOf(STARTS_OTHERS_AND_SLEEPS, self.folder):
            followed = Followed()
            self.assertTrue(waitUntil(lambda: followed.progress and len(jobProcesses()) == 3))
            self.assertCancels(followed)

    def test_cancel_while_results_are_written(self):
        writesHalf = "facts(); step(4); open(argument('output'), 'wb').write(bytes(1000)); say('writing'); " + SLEEPS
        with engineOf(writesHalf, self.folder):
            followed = Followed()
            self.assertTrue(waitUntil(lambda: followed.log))
            self.assertCancels(followed)

    def test_cancel_from_its_own_progress(self):
        with engineOf(SLEEPS_AT_WORK, self.folder):
            followed = self.finishes(Followed(onProgress=lambda job: job.cancel()))
        self.assertIsInstance(followed.error, Cancelled)
        self.assertEqual(len(followed.progress), 1)

    def test_cancel_of_a_job_that_never_started_does_nothing(self):
        EngineJob(makeCt(), SegmentationSettings()).cancel()

    def test_waiting_ends_when_another_thread_cancels(self):
        with engineOf(SLEEPS_AT_WORK, self.folder):
            job = EngineJob(makeCt(), SegmentationSettings())
            thread = threading.Timer(1.0, job.cancel)
            thread.start()
            with self.assertRaises(Cancelled):
                job.run()
            thread.join()

    def test_interrupt_while_waiting_ends_the_engine(self):
        def interrupt(_progress):
            raise KeyboardInterrupt

        with engineOf(STARTS_OTHERS_AND_SLEEPS, self.folder), self.assertRaises(KeyboardInterrupt):
            EngineJob(makeCt(), SegmentationSettings()).run(interrupt)

    # --- failure

    def failureOf(self, code):
        """The one sentence with which a job of this engine fails, the same waiting and in the background."""
        with engineOf(code, self.folder):
            with self.assertRaises(UserError) as caught:
                EngineJob(makeCt(), SegmentationSettings()).run()
            error = self.finishes(Followed()).error
        self.assertIsInstance(error, UserError)
        self.assertEqual(str(error), str(caught.exception))
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_sentence_for_the_user_arrives_as_it_was_said(self):
        for program in ("spine-fracture-seg", "spine-fracture-seg segment"):
            code = f"say('Traceback', '  File x', '{program}: The CT is too flat: choose another.'); sys.exit(2)"
            self.assertEqual(self.failureOf(code), "The CT is too flat: choose another.")

    def test_fault_of_the_program_is_named_as_one(self):
        sentence = self.failureOf("say('spine-fracture-seg: unexpected KeyError: 7'); sys.exit(1)")
        self.assertIn("fault of the program (unexpected KeyError: 7)", sentence)

    def test_end_without_result_is_told(self):
        self.assertIn("without its result", self.failureOf("facts(); step(4)"))

    def test_half_a_result_is_no_result(self):
        code = "facts(); open(argument('output'), 'w').write('half'); open(argument('report'), 'w').write('{')"
        self.assertIn("without its result", self.failureOf(code))

    @unittest.skipIf(os.name == "nt", "signals of this kind are POSIX")
    def test_engine_that_is_killed_is_told_with_its_last_words(self):
        sentence = self.failureOf("facts(); step(1); say('last words'); os.kill(os.getpid(), 9)")
        self.assertIn("exit code -9", sentence)
        self.assertIn("last words", sentence)
        self.assertIn("memory ran out", sentence)

    def test_exception_of_a_callback_ends_the_job_and_is_its_error(self):
        def fail(_progress):
            raise RuntimeError("in the panel")

        with engineOf(STARTS_OTHERS_AND_SLEEPS, self.folder):
            followed = self.finishes(Followed(onProgress=fail))
            self.assertEqual(str(followed.error), "in the panel")
            with self.assertRaisesRegex(RuntimeError, "in the panel"):
                EngineJob(makeCt(), SegmentationSettings()).run(fail)

    def test_python_that_cannot_be_started_is_told_at_once(self):
        job = EngineJob(makeCt(), SegmentationSettings())
        with patch("SpineFractureSegLib.scene.engine_run.commandLine", lambda _words: [str(self.folder / "none")]):
            with self.assertRaisesRegex(UserError, "cannot be started"):
                job.start()
            with self.assertRaisesRegex(UserError, "cannot be started"):
                EngineJob(makeCt(), SegmentationSettings()).run()
        self.assertFalse(job.isRunning)

    def test_folder_that_cannot_be_written_is_told(self):
        blocked = self.folder / "file"
        blocked.write_text("no folder")
        job = EngineJob(makeCt(), SegmentationSettings())
        place = patch.object(slicer.app, "temporaryPath", str(blocked), create=True)
        with place, self.assertRaisesRegex(UserError, "temporary folder"):
            job.run()

    def test_folder_of_a_slicer_that_crashed_is_removed_by_the_next_job(self):
        abandoned = Path(slicer.app.temporaryPath) / "SpineFractureSeg-999999999-abc"
        abandoned.mkdir()
        (abandoned / "ct.nrrd").write_text("a patient's CT")
        with engineOf(WRITES_RESULT, self.folder):
            EngineJob(makeCt(), SegmentationSettings()).run()
        self.assertFalse(abandoned.exists())
