"""What the tests of fine-tuning share: a worker of a few lines that keeps the engine's promises, and made cases.

Only ``test_finetune_real_engine`` has the worker that ships.
"""

import json
import os
import sys
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
from job_test_case import waitUntil
from scene_test_case import SHAPE, SceneTestCase, block

import SpineFractureSegLib
from SpineFractureSegLib.scene.finetune_case import sceneCase
from SpineFractureSegLib.scene.installation import missingPackages

# Does what `finetune --help` says, without learning anything. `after` is the Dice of the new model; that before is 0.5.
# Each epoch waits until the test lets it go on, by a file of the epoch's number in the run's folder.
WORKER = f"""
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(SpineFractureSegLib.__file__).resolve().parents[1])!r})

def argument(name, default=None):
    return next((word.partition("=")[2] for word in sys.argv if word.startswith("--" + name + "=")), default)

def say(**fields):
    print(json.dumps(fields), flush=True)

cases = json.loads(Path(argument("cases")).read_text())["cases"] if argument("cases") else []
if "models" in sys.argv:
    from SpineFractureSegLib.engine.model_folders import user_folder
    user_folder().mkdir(parents=True, exist_ok=True)
    (user_folder() / (argument("name") + ".safetensors")).write_text("imported")
    sys.exit(0)
if "--roles" in sys.argv:
    roles = {{case["name"]: "train" for case in cases[1:]}} | {{cases[0]["name"]: "validation"}}
    print(json.dumps(roles, indent=1))
    sys.exit(0)
if "--estimate" in sys.argv:
    print("warning: a slow computer", file=sys.stderr)
    print(json.dumps({{"device": "cpu", "seconds_per_epoch": 42.0, "epochs": 7, "minutes": 4.9}}, indent=1))
    sys.exit(0)

say(device="cpu", precision="float32", model="Made", version="1", pid=os.getpid())
run = Path(argument("run-folder"))
run.mkdir(exist_ok=True)
for case in cases:
    if not (Path(case["image"]).exists() and Path(case["mask"]).exists()):
        print(f"spine-fracture-seg: {{case['name']}} is missing: add it.", file=sys.stderr)
        sys.exit(2)
say(stage="prepare", done=len(cases), total=len(cases))
(run / "training").mkdir(exist_ok=True)
last = run / "training" / "last.pt"
learned = int(last.read_text()) if last.exists() else 0
for epoch in range(1, int(argument("epochs", 3)) + 1):
    say(stage="train", done=0, total=10, epoch=epoch)
    while not (run / f"epoch-{{epoch}}").exists() and not (run / "stop").exists():
        if (run / "pause").exists():
            say(stage="pause", done=0, total=1)
            while (run / "pause").exists() and not (run / "stop").exists():
                time.sleep(0.02)
            say(stage="pause", done=1, total=1)
        time.sleep(0.02)
    if epoch > learned:
        last.write_text(str(epoch))
    say(stage="validate", done=1, total=1, epoch=epoch, loss=1 / epoch, dice=epoch / 10, minutes=0.1 * epoch)
    if (run / "stop").exists():
        break
def of(case, scores):
    return {{**scores, "mask": case["mask"]}}

held = [case for case in cases if case["role"] == "validation"] or cases[:1]
dice = float(os.environ["FAKE_DICE_AFTER"])
before, after = ({{"dice": d, "iou": d / 2, "false_findings": n}} for d, n in ((0.5, 2), (dice, 1)))
result = {{
    "before": before, "after": after, "worse": dice < 0.5,
    "cases": [{{"name": case["name"], "before": of(case, before), "after": of(case, after)}} for case in held],
    "simulated": {{"dice_before": 0.8, "dice_after": None}},
    "model": argument("output"), "epochs": epoch, "best_epoch": epoch, "minutes": 0.1 * epoch, "ended_by": "epochs",
    "blend": {{"share": 0.5}}, "left_out": {{}}, "warnings": [], "arguments": sys.argv[1:],
}}
Path(argument("output")).write_text("a model")
(run / "result.json").write_text(json.dumps(result))
print("Written", file=sys.stderr)
"""


@unittest.skipIf(missingPackages(), "packages are missing: open the module and press Apply")
class FinetuneTestCase(SceneTestCase):
    """The worker, and a folder of models that is the test's own."""

    def setUp(self):
        super().setUp()
        self.models = self.folder / "data" / "models"
        script = self.folder / "worker.py"
        script.write_text(WORKER, encoding="utf-8")
        environment = {"SPINE_FRACTURE_SEG_MODELS": str(self.models), "FAKE_DICE_AFTER": "0.7"}
        for patch in (
            mock.patch.dict(os.environ, environment),
            mock.patch(
                "SpineFractureSegLib.scene.engine_run.commandLine", lambda words: [sys.executable, str(script), *words]
            ),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def makePair(self, name):
        """A CT and a segmentation with the segment "Fracture" that was drawn on it."""
        values = np.full(SHAPE, 40, np.int16)
        values[0], values[1], values[-1] = -1000, -100, 400
        volumeNode = self.makeVolume(values, name=name)
        return volumeNode, self.makeSegmentation({"Fracture": block()}, volumeNode, f"{name} reference")

    def makeCases(self, count=2):
        pairs = [self.makePair(f"CT{number}") for number in range(1, count + 1)]
        return [sceneCase(volumeNode, node, "Fracture") for volumeNode, node in pairs]

    def letEpochs(self, folder, *numbers):
        """The worker finishes these epochs."""
        folder.run.mkdir(exist_ok=True)
        for number in numbers:
            (folder.run / f"epoch-{number}").touch()

    def result(self, folder):
        return json.loads(folder.result.read_text())

    def waitFor(self, condition):
        self.assertTrue(waitUntil(condition), "waited in vain")


def newModelIsWorse():
    return newModelScores(0.3)


def newModelScores(dice):
    """The model before scores 0.5."""
    return mock.patch.dict(os.environ, {"FAKE_DICE_AFTER": str(dice)})
