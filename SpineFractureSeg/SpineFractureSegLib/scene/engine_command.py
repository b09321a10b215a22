"""A short command of the engine, waited for: what needs torch is not done inside Slicer's own process."""

from __future__ import annotations

import slicer

from SpineFractureSegLib.scene.engine_output import EngineOutput
from SpineFractureSegLib.scene.engine_process import commandLine, environmentAdditions


def runToEnd(arguments: list[str]) -> None:
    """Runs the engine's command line, for example ``["models", "import", path]``.

    Raises: UserError, with the engine's own sentence where the command fails.
    """
    process = slicer.util.launchConsoleProcess(
        commandLine(arguments), useStartupEnvironment=False, updateEnvironment=environmentAdditions()
    )
    output = EngineOutput()
    with process.stdout:
        for line in process.stdout:
            output.read(line)
    returnCode = process.wait()
    if returnCode != 0:
        raise output.failure(returnCode)
