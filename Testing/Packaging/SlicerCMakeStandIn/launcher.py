"""Stands in for the Slicer executable that CTest starts.

Takes ``--testing --additional-module-paths FOLDER --python-code CODE``, boots the stand-in of the application and runs
the code as Slicer does: the modules' folder is on ``sys.path``, the folder of this file is not. It leaves with 1 when
the code raises. The environment variable ``SLICER_STAND_IN_FOLDER`` names the folder of the package ``SlicerStandIn``.
"""

import argparse
import importlib.util
import os
import sys
import types
import unittest


def run_unit_test(paths: list[str], name: str) -> None:
    """As ``slicer.testing.runUnitTest``: the tests of module ``name``, with ``paths`` at the end of ``sys.path``."""
    sys.path.extend(paths)
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestLoader().loadTestsFromName(name))
    if not result.wasSuccessful():
        raise SystemExit(1)


def main() -> None:
    """Run the code of the command line in a booted stand-in."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--no-splash", action="store_true")
    parser.add_argument("--testing", action="store_true")
    parser.add_argument("--additional-module-paths", nargs="+", default=[])
    parser.add_argument("--python-code", required=True)
    arguments = parser.parse_args()

    sys.path[0:1] = arguments.additional_module_paths
    sys.path.append(os.environ["SLICER_STAND_IN_FOLDER"])
    import SlicerStandIn

    SlicerStandIn.boot()
    if importlib.util.find_spec("slicer.testing") is None:  # it is there when Slicer's own Python files are used
        testing = types.ModuleType("slicer.testing")
        testing.runUnitTest = run_unit_test
        sys.modules["slicer.testing"] = sys.modules["slicer"].testing = testing
    exec(compile(arguments.python_code, "--python-code", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
