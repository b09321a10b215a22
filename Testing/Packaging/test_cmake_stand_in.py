"""The stand-in of Slicer's CMake files refuses what the real ones refuse, or the other tests prove little."""

import subprocess
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "SlicerCMakeStandIn"

PROJECT = """
cmake_minimum_required(VERSION 3.28)
project({name} NONE)
set(EXTENSION_HOMEPAGE "https://example.org")
set(EXTENSION_CONTRIBUTORS "Somebody")
set(EXTENSION_DESCRIPTION "{description}")
set(EXTENSION_ICONURL "https://example.org/icon.png")
set(EXTENSION_SCREENSHOTURLS "https://example.org/picture.png")
set(EXTENSION_DEPENDS "NA")
set(EXTENSION_README_FILE "${{CMAKE_CURRENT_SOURCE_DIR}}/Module.py")
set(EXTENSION_LICENSE_FILE "${{CMAKE_CURRENT_SOURCE_DIR}}/{licence}")
find_package(Slicer REQUIRED)
include(${{Slicer_USE_FILE}})
slicerMacroBuildScriptedModule(NAME Module SCRIPTS {scripts})
slicer_add_python_unittest(SCRIPT {test})
include(${{Slicer_EXTENSION_GENERATE_CONFIG}})
include(${{Slicer_EXTENSION_CPACK}})
"""
RIGHT = {
    "name": "Example",
    "description": "An example.",
    "licence": "Module.py",
    "scripts": "Module.py",
    "test": "Module.py",
}


def configure(cmake: str, folder: Path, values: dict[str, str]) -> subprocess.CompletedProcess:
    (folder / "Module.py").touch()
    (folder / "CMakeLists.txt").write_text(PROJECT.format(**values), encoding="utf-8")
    command = [
        cmake,
        "-S",
        folder,
        "-B",
        folder / "build",
        f"-DSlicer_DIR={STAND_IN}",
        "-DSlicer_LAUNCHER_EXECUTABLE=x",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_right_project_is_configured(cmake, tmp_path):
    done = configure(cmake, tmp_path, RIGHT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({"name": "Slicer"}, "must come before"),
        ({"scripts": "Module.py Gone.py"}, "does not exist: 'Gone.py'"),
        ({"scripts": "Module.py TITLE Example"}, "does not exist: 'TITLE'"),
        ({"test": "test_gone.py"}, "does not exist: 'test_gone.py'"),
        ({"test": "Module.py PREFIX a_"}, "does not know: PREFIX;a_"),
        ({"licence": "GONE"}, "EXTENSION_LICENSE_FILE is not set to a file"),
        ({"description": "One; two"}, "holds a semicolon"),
    ],
)
def test_a_mistake_stops_cmake(mistake, sentence, cmake, tmp_path):
    done = configure(cmake, tmp_path, RIGHT | mistake)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())
