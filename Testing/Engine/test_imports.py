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


def test_the_package_itself_imports_nothing_heavy():
    code = "import SpineFractureSegLib.engine; assert not {'torch', 'SimpleITK', 'scipy'} & set(sys.modules)"
    done = run_with_blocked((), code)
    assert done.returncode == 0, done.stderr
