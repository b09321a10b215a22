"""A fine-tuning from the console and in the background: its result, its end by every cause, and going on afterwards."""

import os
import subprocess
import sys
import unittest
from unittest import mock

import numpy as np
import SimpleITK as sitk
import slicer
from finetune_test_case import FinetuneTestCase, newModelIsWorse, newModelScores
from scene_test_case import GEOMETRIES, SHAPE, block

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_query import EngineQuery
from SpineFractureSegLib.scene.finetune_case import FilePair, FinetuneCase, sceneCase
from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, RunDescription, openRuns, runsFolder
from SpineFractureSegLib.scene.finetune_run import FinetuneRun, FinetuneSettings
from SpineFractureSegLib.scene.image_geometry import worldMatrix


class FinetuneRunTest(FinetuneTestCase):
    def setUp(self):
        super().setUp()
        self.progress, self.finished, self.log = [], [], []

    def settings(self, **fields):
        return FinetuneSettings(**{"name": "clinic", "epochs": 2, **fields})

    def start(self, run=None, epochs=()):
        """A background run whose worker finishes these epochs at once."""
        run = run or FinetuneRun.new(self.makeCases(), self.settings())
        self.letEpochs(run.folder, *epochs)
        run.start(self.progress.append, self.log.append, lambda *outcome: self.finished.append(outcome))
        return run

    def epochsTold(self):
        return [step.details["epoch"] for step in self.progress if "dice" in step.details]

    def outcome(self):
        self.waitFor(lambda: self.finished)
        ((result, error),) = self.finished
        return result, error

    # --- results

    def test_waiting_and_background_give_the_same_result_and_arguments(self):
        settings = self.settings(parent="mine", minutes=3.0, learningRate=2e-4, mix=0.25, seed=5, device="cpu")
        results = []
        for background in (False, True):
            run = FinetuneRun.new(self.makeCases(), settings)
            self.letEpochs(run.folder, 1, 2)
            if background:
                self.start(run)
                result, error = self.outcome()
                self.assertIsNone(error)
            else:
                result = run.run()
            results.append(result)
        waited, started = results
        self.assertEqual((waited.before, waited.after, waited.worse), (started.before, started.after, False))
        self.assertEqual((waited.after.dice, waited.after.iou, waited.after.falseFindings), (0.7, 0.35, 1))
        self.assertEqual([case.name for case in waited.heldOut], ["CT1"])
        self.assertEqual(waited.simulated[0], 0.8)
        self.assertTrue(np.isnan(waited.simulated[1]))
        given = [word for word in self.result(started.folder)["arguments"] if "/" not in word]
        expected = "--from=mine --minutes=3.0 --epochs=2 --learning-rate=0.0002 --mix=0.25 --seed=5 --device=cpu"
        self.assertEqual(given, ["--debug", "finetune", *expected.split(), "--register", "--progress=json"])

    def test_what_is_not_set_is_left_to_the_engine(self):
        self.assertEqual(FinetuneSettings("a").arguments(), ["--from=bundled", "--device=auto"])
        self.assertEqual(FinetuneSettings("a", wholeBodies=True).arguments()[-1], "--whole-bodies")

    def test_cases_reach_the_engine_where_they_lie_in_the_world(self):
        for name, matrix in GEOMETRIES.items():
            with self.subTest(name):
                volumeNode, _node = self.makePair(name)
                volumeNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
                volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
                node = self.makeSegmentation({"Fracture": block()}, volumeNode)
                folder = FinetuneFolder.make()
                entry = folder.writeCase(1, sceneCase(volumeNode, node, "Fracture", "anna", "train"))
                ct, mask = sitk.ReadImage(entry["image"]), sitk.ReadImage(entry["mask"])
                self.assertEqual((entry["patient"], entry["role"]), ("anna", "train"))
                np.testing.assert_array_equal(sitk.GetArrayFromImage(ct), slicer.util.arrayFromVolume(volumeNode))
                np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), block())
                for image in (ct, mask):
                    indices = np.argwhere(block())[:, ::-1]
                    points = (worldMatrix(image) @ np.c_[indices, np.ones(len(indices))].T).T[:, :3]
                    np.testing.assert_allclose(points, self.worldPositions(volumeNode, block()), atol=1e-3)

    def test_files_stay_where_they_are_and_chosen_values_become_a_mask(self):
        labels = np.zeros(SHAPE, np.uint8)
        labels[2:4], labels[5:7] = 1, 2
        image, mask = self.folder / "ct.nrrd", self.folder / "labels.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(mask))
        folder = FinetuneFolder.make()
        plain = folder.writeCase(1, FinetuneCase("a", FilePair(image, mask)))
        chosen = folder.writeCase(2, FinetuneCase("b", FilePair(image, mask, values=(2,))))
        self.assertEqual((plain["image"], plain["mask"]), (str(image), str(mask)))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(chosen["mask"])), labels == 2)

    def test_a_worse_model_is_said_to_be_worse(self):
        with newModelIsWorse():
            run = FinetuneRun.new(self.makeCases(), self.settings())
            self.letEpochs(run.folder, 1, 2)
            result = run.run()
        self.assertTrue(result.worse)
        self.assertIn("worse than the one before", result.verdict)
        self.assertIn("0.500 before, 0.300 after", result.verdict)

    def test_a_model_that_gained_next_to_nothing_is_not_called_better(self):
        with newModelScores(0.51):
            run = FinetuneRun.new(self.makeCases(), self.settings())
            self.letEpochs(run.folder, 1, 2)
            result = run.run()
        self.assertFalse(result.worse)
        self.assertIn("about as good as the one before", result.verdict)
        self.assertEqual(result.keptShare, 0.5)

    # --- pause, stop, cancel, resume

    def test_pause_waits_and_continue_goes_on(self):
        run = self.start()
        self.waitFor(lambda: any(step.stage == "train" for step in self.progress))
        run.folder.pause(True)
        self.letEpochs(run.folder, 1)
        self.waitFor(lambda: any(step.stage == "pause" for step in self.progress) or self.epochsTold())
        run.folder.pause(False)
        self.letEpochs(run.folder, 2)
        self.assertIsNone(self.outcome()[1])
        self.assertEqual(self.epochsTold(), [1, 2])

    def test_stop_keeps_the_best_so_far_also_from_a_pause(self):
        run = self.start(epochs=[1])
        self.waitFor(self.epochsTold)
        run.folder.pause(True)
        run.folder.stop()
        result, error = self.outcome()
        self.assertIsNone(error)
        self.assertEqual(result.epochs, 2)
        self.assertFalse(run.folder.isPaused)

    def test_cancel_leaves_what_was_learned_and_a_resumed_run_goes_on(self):
        run = self.start(epochs=[1])
        self.waitFor(self.epochsTold)
        run.cancel()
        self.assertIsInstance(self.outcome()[1], Cancelled)
        self.assertEqual([folder.path for folder in openRuns()], [run.folder.path])
        self.finished.clear()
        self.progress.clear()
        self.start(FinetuneRun.resumed(openRuns()[0]), epochs=[2])
        result, _error = self.outcome()
        self.assertEqual(self.epochsTold(), [1, 2])
        self.assertEqual(result.modelName, "clinic")

    def test_cancel_before_anything_was_learned_leaves_nothing(self):
        run = self.start()
        run.cancel()
        self.assertIsInstance(self.outcome()[1], Cancelled)
        self.assertEqual(list(runsFolder().iterdir()), [])
        run.cancel()
        self.assertEqual(len(self.finished), 1)

    def test_a_killed_engine_can_be_resumed(self):
        run = self.start(epochs=[1])
        self.waitFor(self.epochsTold)
        run._engine._process.kill()
        error = self.outcome()[1]
        self.assertIsInstance(error, UserError)
        self.assertIn("resume the run", str(error))
        self.assertEqual(len(openRuns()), 1)

    # --- failure

    def test_the_engines_sentence_is_the_error_and_nothing_stays(self):
        case = FinetuneCase("gone", FilePair(self.folder / "a", self.folder / "b"))
        with mock.patch("SpineFractureSegLib.scene.finetune_run.problemOf", return_value=""):
            self.start(FinetuneRun.new([*self.makeCases(1), case], self.settings()))
        self.assertEqual(str(self.outcome()[1]), "gone is missing: add it.")
        self.assertEqual(list(runsFolder().iterdir()), [])

    def test_a_segment_that_is_emptied_before_it_is_copied_is_told_with_its_case(self):
        cases = self.makeCases()
        run = FinetuneRun.new(cases, self.settings())
        _volumeNode, node = cases[1].source.nodes
        node.GetSegmentation().RemoveSegment("Fracture")
        self.start(run)
        self.assertIn("CT2: ", str(self.outcome()[1]))
        self.assertEqual(list(runsFolder().iterdir()), [])

    def test_what_cannot_be_trained_with_is_refused_before_anything_is_written(self):
        cases = self.makeCases()
        self.models.mkdir(parents=True)
        (self.models / "Taken.safetensors").write_text("")
        for given, name, sentence in (
            (cases[:1], "clinic", "two patients"),
            (cases, "a/b", "cannot be a model's name"),
            (cases, "taken", "already a model"),
            (cases, "spine-fracture-default", "already a model"),
        ):
            with self.subTest(sentence), self.assertRaisesRegex(UserError, sentence):
                FinetuneRun.new(given, self.settings(name=name))
        self.assertFalse(runsFolder().exists())

    def test_a_folder_that_cannot_be_made_is_told(self):
        self.models.parent.write_text("no folder")
        with self.assertRaisesRegex(UserError, "no folder can be made"):
            FinetuneRun.new(self.makeCases(), self.settings())

    # --- runs of other sessions

    def folderOf(self, owner, complete=True):
        path = runsFolder() / f"20260101-120000-{owner}-a"
        path.mkdir(parents=True)
        if complete:
            about = RunDescription("a", 2, (), "2026-01-01T12:00:00", owner)
            FinetuneFolder(path).complete([], "", about)
        return path

    def test_a_run_of_a_Slicer_that_is_gone_is_offered_and_one_of_a_living_one_is_not(self):
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
            gone, _alive = self.folderOf(999999999), self.folderOf(other.pid)
            self.assertEqual([folder.path for folder in openRuns()], [gone])
            other.stdin.close()
        self.assertEqual(openRuns()[0].description.createdShown, "2026-01-01 12:00")

    def test_a_process_that_only_got_the_number_of_the_Slicer_that_is_gone_does_not_hide_a_run(self):
        path = self.folderOf(os.getpid())
        self.assertEqual(openRuns(), [])
        os.utime(path / "run.json", (0, 0))  # written before this process began
        self.assertEqual([folder.path for folder in openRuns()], [path])

    def test_a_run_at_work_is_not_offered(self):
        run = self.start(epochs=[1])
        self.waitFor(self.epochsTold)
        self.assertEqual(openRuns(), [])
        run.cancel()
        self.assertEqual(len(openRuns()), 1)

    def test_a_folder_that_was_never_filled_is_removed(self):
        path = self.folderOf(999999999, complete=False)
        mine = self.folderOf(os.getpid(), complete=False)
        self.assertEqual(openRuns(), [])
        self.assertEqual((path.exists(), mine.exists()), (False, True))

    # --- queries

    def test_a_query_is_answered_with_JSON_whatever_else_is_said(self):
        answers = []
        EngineQuery(["finetune", "--estimate"]).start(lambda *answer: answers.append(answer))
        self.waitFor(lambda: answers)
        self.assertEqual(answers[0][0]["seconds_per_epoch"], 42.0)

    def test_a_query_without_an_answer_is_an_error(self):
        answers = []
        EngineQuery(["models", "--name=a"]).start(lambda *answer: answers.append(answer))
        self.waitFor(lambda: answers)
        self.assertIsInstance(answers[0][1], UserError)


if __name__ == "__main__":
    unittest.main()
