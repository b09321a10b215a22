"""The extension, built and installed once with CMake against a stand-in of Slicer's CMake files.

``SlicerCMakeStandIn`` takes the place of ``Slicer_DIR``. The tests that run something installed do it in an interpreter
that has this environment's packages but not its editable installs, so that nothing of the source tree is importable.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST_CMAKE = (3, 28)


@dataclass(frozen=True)
class Extension:
    """Where the built extension lies: CMake's build folder, and the installed folder of the module file."""

    build: Path
    modules: Path
    ctest: str


def program(name: str) -> str | None:
    """The path of ``name``, beside this Python before anywhere else."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    """Run to the end; the test fails with everything that was printed when the exit code is not 0."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{command} left with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def cmake() -> str:
    """CMake, when it and what it needs are there."""
    found = program("cmake")
    if not found:
        pytest.skip("cmake is not installed: pip install 'cmake>=3.28'")
    version = tuple(map(int, re.search(r"version (\d+)\.(\d+)", run(found, "--version").stdout).groups()))
    if version < OLDEST_CMAKE:
        pytest.skip(f"cmake {'.'.join(map(str, version))} is older than 3.28: pip install 'cmake>=3.28'")
    if not any(program(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")):
        pytest.skip("there is no C++ compiler, which CMake wants to see")
    if not any(program(name) for name in ("make", "ninja", "msbuild")):
        pytest.skip("there is neither make nor ninja for CMake to build with")
    return found


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory) -> Path:
    """An interpreter with this environment's packages, less its editable installs."""
    folder = tmp_path_factory.mktemp("clean_python")
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(folder)
    python = Path(builder.ensure_directories(folder).env_exe)
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    # A folder named in a .pth file is searched, but the .pth files inside it are not read: those are the editable ones.
    shared = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (site_packages / "packages.pth").write_text("\n".join(shared), encoding="utf-8")
    return python


@pytest.fixture(scope="session")
def extension(cmake, clean_python, tmp_path_factory) -> Extension:
    """Configured, built and installed."""
    build = tmp_path_factory.mktemp("build")
    prefix = tmp_path_factory.mktemp("installed")
    stand_in = Path(__file__).parent / "SlicerCMakeStandIn"
    launcher = f"{clean_python};{stand_in / 'launcher.py'}"
    run(cmake, "-S", ROOT, "-B", build, f"-DSlicer_DIR={stand_in}", f"-DSlicer_LAUNCHER_EXECUTABLE={launcher}")
    run(cmake, "--build", build)
    run(cmake, "--install", build, "--prefix", prefix)
    modules = prefix / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    return Extension(build, modules, str(Path(cmake).with_name("ctest")))


@pytest.fixture
def run_clean(tmp_path):
    """``run``, in an empty folder and without what the environment says about Python."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["SLICER_STAND_IN_FOLDER"] = str(ROOT / "Testing")
    return partial(run, cwd=tmp_path, env=environment)


@pytest.fixture(scope="session")
def stand_in() -> None:
    """Skips where the stand-in of the application cannot run."""
    missing = [name for name in ("slicer", "PySide6") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install '.[scene-test]' on Python 3.11")
