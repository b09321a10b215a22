"""Fine-tuning with the engine that ships, a tiny network and made CTs: the scene and the shell give the same model."""

import os
import subprocess
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from job_test_case import waitUntil
from scene_test_case import SceneTestCase

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.model_store import list_models
from SpineFractureSegLib.scene.engine_process import commandLine
from SpineFractureSegLib.scene.engine_query import EngineQuery
from SpineFractureSegLib.scene.finetune_case import problemOf, sceneCase
from SpineFractureSegLib.scene.finetune_folder import openRuns, runsFolder
from SpineFractureSegLib.scene.finetune_questions import FinetuneQuestions
from SpineFractureSegLib.scene.finetune_run import FinetuneRun, FinetuneSettings
from SpineFractureSegLib.scene.installation import missingPackages

SPACING_MM = 3.0

# Run in the engine's Python: torch stays out of the process that runs the tests.
MAKE_PARENT = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / "SpineFractureSeg")!r})
from SpineFractureSegLib.engine.model_file import ModelCard, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
torch.manual_seed(0)
config = NetworkConfig(width=4, input_channels=3, outputs=("fracture", "vertebra"), decoder_skips=True)
steps = ({-SPACING_MM}, 0.0, {SPACING_MM})
preprocessing = Preprocessing(spacing_mm={SPACING_MM}, context_mm=steps, window_size=(32, 32))
save_model(sys.argv[1], FractureNetwork(config), config, preprocessing, ModelCard("tiny", label_meaning="bodies"))
"""


@unittest.skipIf(missingPackages(), "packages are missing: open the module and press Apply")
class RealFinetuneTest(SceneTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        models = Path(folder.name, "data", "models")
        models.mkdir(parents=True)
        python = commandLine([])[0]
        subprocess.run([python, "-c", MAKE_PARENT, str(models / "tiny.safetensors")], check=True, capture_output=True)
        patch = mock.patch.dict(os.environ, {"SPINE_FRACTURE_SEG_MODELS": str(models)})
        patch.start()
        cls.addClassCleanup(patch.stop)

    def makeCase(self, seed):
        """A column of three boxes in soft tissue and air; the flat and dense one is drawn."""
        random = np.random.default_rng(seed)
        values = np.full((36, 30, 24), -1000, np.int16)
        values[:, 3:27, 2:22] = random.normal(40, 20, (36, 24, 20)).astype(np.int16)
        values[:, 3:5, 2:22] = -100
        drawn = np.zeros(values.shape, np.uint8)
        for number in range(3):
            box = (slice(2 + 12 * number, 7 + 12 * number), slice(8, 20), slice(6, 16))
            values[box] += 700 if number == seed % 3 else 250
            drawn[box] = number == seed % 3
        matrix = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0])
        volumeNode = self.makeVolume(values, matrix, name=f"CT{seed}")
        return sceneCase(volumeNode, self.makeSegmentation({"Fracture": drawn}, volumeNode), "Fracture")

    def settings(self, name, **fields):
        options = {"parent": "tiny", "minutes": 0, "epochs": 1, "mix": 0.0, "seed": 3, "device": "cpu"}
        return FinetuneSettings(name, **{**options, **fields})

    def test_the_scene_and_the_shell_give_the_same_model_and_it_is_registered(self):
        cases = [self.makeCase(seed) for seed in (1, 2, 3)]
        self.assertEqual([problemOf(case) for case in cases], ["", "", ""])
        told = []
        result = FinetuneRun.new(cases, self.settings("from-scene", labelMeaning="the flat box")).run(told.append)
        self.addCleanup(result.folder.remove)
        self.assertEqual(len(result.heldOut), 1)
        self.assertTrue(result.heldOut[0].maskBefore.is_file() and result.heldOut[0].maskAfter.is_file())
        self.assertEqual(result.epochs, 1)
        self.assertEqual({"prepare", "train", "validate", "score"} - {step.stage for step in told}, set())
        self.assertEqual([step.details["epoch"] for step in told if "dice" in step.details], [1])
        registered = [model for model in list_models() if model.name == "from-scene"]
        self.assertEqual(len(registered), 0 if result.worse else 1)

        shell = self.folder / "from-shell.safetensors"
        words = ["finetune", f"--cases={result.folder.cases}", f"--output={shell}", "--progress=none"]
        words += self.settings("from-shell").arguments()
        subprocess.run(commandLine(words), check=True, capture_output=True)
        self.assertEqual(weights(shell), weights(result.model))

    def test_cancel_and_resume(self):
        run = FinetuneRun.new([self.makeCase(seed) for seed in (1, 2)], self.settings("resumed", epochs=2))
        told, ended = [], []
        run.start(told.append, onFinished=lambda *outcome: ended.append(outcome))
        self.assertTrue(waitUntil(lambda: ended or any("dice" in step.details for step in told), 300))
        run.cancel()
        (folder,) = openRuns()
        self.addCleanup(folder.remove)
        told.clear()
        result = FinetuneRun.resumed(folder).run(told.append)
        self.assertEqual([step.details["epoch"] for step in told if "dice" in step.details], [1, 2])
        self.assertEqual(result.epochs, 2)

    def test_a_case_that_the_engine_refuses_is_named_and_nothing_stays(self):
        volumeNode, _node = self.makeCase(1).source.nodes
        speck = np.zeros((36, 30, 24), np.uint8)
        speck[0, 0, 0] = 1
        pair = sceneCase(volumeNode, self.makeSegmentation({"Fracture": speck}, volumeNode), "Fracture")
        cases = [pair, replace(pair, name="CT2", patient="another")]
        with self.assertRaisesRegex(UserError, "CT1: The mask holds"):
            FinetuneRun.new(cases, self.settings("none")).run()
        self.assertEqual(list(runsFolder().iterdir()), [])

    def test_roles_are_proposed_without_a_CT_and_the_time_is_estimated(self):
        roles, times = [], []
        questions = FinetuneQuestions(roles.append, lambda *answer: times.append(answer))
        questions.askRoles([self.makeCase(seed) for seed in (1, 2, 3)])
        self.assertTrue(waitUntil(lambda: roles, 300))
        self.assertEqual(sorted(roles[0].values()), ["train", "train", "validation"])
        questions.askTime(self.settings("any", minutes=5))
        self.assertTrue(waitUntil(lambda: times, 300))
        estimate, error = times[0]
        self.assertIsNone(error)
        self.assertEqual((estimate["device"], estimate["epochs"]), ("cpu", 1))

    def test_an_unknown_model_is_told_by_the_engine(self):
        answers = []
        EngineQuery(["finetune", "--estimate", "--from=none"]).start(lambda *answer: answers.append(answer))
        self.assertTrue(waitUntil(lambda: answers, 300))
        self.assertIn("There is no model 'none'", str(answers[0][1]))


def weights(path):
    """The tensors of a model file as bytes, without its text, which holds the name."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


if __name__ == "__main__":
    unittest.main()
