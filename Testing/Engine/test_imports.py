"""What may be imported where: the engine never needs Slicer, training and simulation never need SimpleITK."""

import subprocess
import sys

import pytest

_BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def run_with_blocked(blocked: tuple[str, ...], code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", _BLOCK.format(blocked=set(blocked)) + code], capture_output=True, text=True, timeout=300
    )


def test_every_engine_module_is_importable_without_slicer_qt_and_vtk():
    code = (
        "import importlib, pkgutil, SpineFractureSegLib.engine as engine\n"
        "names = [m.name for m in pkgutil.walk_packages(engine.__path__, 'SpineFractureSegLib.engine.')]\n"
        "assert len(names) > 50, names\n"
        "for name in names: importlib.import_module(name)\n"
    )
    done = run_with_blocked(("slicer", "qt", "ctk", "vtk"), code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["training.trainer", "training.presets", "simulator.generate", "case", "model_file"])
def test_training_and_simulation_do_without_simpleitk_and_monai(module):
    done = run_with_blocked(("SimpleITK", "monai", "PIL"), f"import SpineFractureSegLib.engine.{module}")
    assert done.returncode == 0, done.stderr


def test_models_are_listed_and_results_measured_without_torch_and_safetensors():
    code = (
        "import numpy as np, SimpleITK as sitk\n"
        "from SpineFractureSegLib.engine import findings, metrics, model_store, postprocess, volume, writers\n"
        "cards = [model.card for model in model_store.list_models() if model.bundled]\n"
        "assert cards and all(card.name for card in cards)\n"
        "kept = postprocess.remove_small_components(np.ones((4, 4, 4), bool), 1.0, 1.0)\n"
        "mask = sitk.GetImageFromArray(kept.astype(np.uint8))\n"
        "assert len(findings.find_lesions(mask, sitk.Cast(mask, sitk.sitkFloat32))) == 1\n"
        "assert metrics.evaluate(mask, mask).dice == 1\n"
    )
    done = run_with_blocked(("torch", "safetensors", "slicer", "vtk"), code)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_imports_nothing_heavy():
    code = "import SpineFractureSegLib.engine; assert not {'torch', 'SimpleITK', 'scipy'} & set(sys.modules)"
    done = run_with_blocked((), code)
    assert done.returncode == 0, done.stderr
