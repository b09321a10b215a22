"""Which packages are missing, and how they are asked for; nothing is installed here."""

import sys
import types
from importlib import metadata
from pathlib import Path
from subprocess import CalledProcessError
from unittest.mock import Mock, patch

from scene_test_case import SceneTestCase

import SpineFractureSegLib
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.installation import ensurePackages, missingPackages, requirePackages

ALL = {"torch": "2.13.0+cpu", "safetensors": "0.5.0", "psutil": "7.0.0"}
RESOURCES = Path(SpineFractureSegLib.__file__).resolve().parents[1] / "Resources"


class InstallationTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.installed = {}
        self.pipEnsure = Mock(side_effect=lambda *_args, **_options: self.installed.update(ALL, torch=self.torch()))
        self.installTorch = Mock(side_effect=self.bringTorch)
        torchUtils = types.ModuleType("PyTorchUtils")
        torchUtils.PyTorchUtilsLogic = lambda: types.SimpleNamespace(installTorch=self.installTorch)
        for replaced in (
            patch.object(metadata, "version", self.version),
            patch.dict(sys.modules, {"PyTorchUtils": torchUtils}),
            patch("slicer.packaging.pip_ensure", self.pipEnsure),
        ):
            replaced.start()
            self.addCleanup(replaced.stop)

    def version(self, name):
        if self.installed.get(name) is None:
            raise metadata.PackageNotFoundError(name)
        return self.installed[name]

    def torch(self):
        return self.installed.get("torch")

    def bringTorch(self, **_options):
        self.installed["torch"] = ALL["torch"]
        return object()

    def test_missing_and_old_packages_are_named_with_the_version_that_is_needed(self):
        self.assertEqual(missingPackages(), ["torch>=2.5", "safetensors>=0.4.3", "psutil>=5.9"])
        self.installed = {**ALL, "torch": "2.4.1+cu121"}
        self.assertEqual(missingPackages(), ["torch>=2.5"])
        self.installed = {**ALL, "torch": "2.6.0.dev20250101+cu126"}
        self.assertEqual(missingPackages(), [])

    def test_without_torch_the_console_says_how_to_get_it(self):
        self.installed = {**ALL, "torch": None}
        with self.assertRaisesRegex(UserError, r"torch>=2\.5 are missing: open the module"):
            requirePackages()
        self.assertFalse(self.installTorch.called or self.pipEnsure.called)
        self.installed = dict(ALL)
        requirePackages()

    def test_torch_comes_from_its_extension_and_the_others_from_the_list_with_consent(self):
        ensurePackages()
        self.installTorch.assert_called_once_with(askConfirmation=True, torchVersionRequirement=">=2.5")
        (requirements,), options = self.pipEnsure.call_args
        self.assertEqual([str(requirement) for requirement in requirements], ["safetensors>=0.4.3", "psutil>=5.9"])
        self.assertEqual(options, {"prompt_install": True, "requester": "SpineFractureSeg"})
        self.assertEqual(missingPackages(), [])

    def test_nothing_is_asked_where_nothing_is_missing(self):
        self.installed = dict(ALL)
        ensurePackages()
        self.assertFalse(self.installTorch.called or self.pipEnsure.called)

    def test_torch_that_is_there_is_left_alone(self):
        self.installed = {"torch": ALL["torch"]}
        ensurePackages(askConfirmation=False)
        self.assertFalse(self.installTorch.called)
        self.assertFalse(self.pipEnsure.call_args.kwargs["prompt_install"])

    def test_missing_extension_is_named(self):
        with patch.dict(sys.modules, {"PyTorchUtils": None}):
            self.assertRefuses("extension PyTorch is missing")
        self.assertFalse(self.pipEnsure.called)

    def test_user_who_declines_is_told_what_follows(self):
        self.installTorch.side_effect = lambda **_options: None
        self.assertRefuses("Without its packages")
        self.installTorch.side_effect = self.bringTorch
        self.pipEnsure.side_effect = RuntimeError("User declined package installation")
        self.assertRefuses("Without its packages")

    def test_installation_that_fails_or_does_not_help_is_told(self):
        self.pipEnsure.side_effect = CalledProcessError(1, ["pip", "install"])
        self.assertRefuses("could not be installed")
        self.pipEnsure.side_effect = None  # as under --testing, where nothing is installed
        self.assertRefuses(r"safetensors>=0\.4\.3, psutil>=5\.9 are still missing")

    def assertRefuses(self, sentence):
        with self.assertRaisesRegex(UserError, sentence) as caught:
            ensurePackages()
        self.assertNotIn("\n", str(caught.exception))

    def test_list_pins_nothing_and_leaves_torch_to_its_extension(self):
        lines = (RESOURCES / "requirements.txt").read_text(encoding="utf-8").splitlines()
        requirements = [line for line in lines if line and not line.startswith("#")]
        self.assertTrue(requirements)
        for requirement in requirements:
            self.assertIn(">=", requirement)
            self.assertNotIn("==", requirement)
            self.assertFalse(requirement.startswith("torch"))
