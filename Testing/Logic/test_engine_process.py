"""Calling the engine's process, and ending it with all that belongs to it."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest.mock import patch

from scene_test_case import SceneTestCase

import SpineFractureSegLib
from SpineFractureSegLib.scene.engine_process import (
    END_WITHIN_S,
    commandLine,
    endTree,
    environmentAdditions,
    findWorker,
)
from SpineFractureSegLib.scene.installation import missingPackages

# Starts itself again, `depth` times, and prints the process ids from the outermost inwards.
NEST = """
import json, os, subprocess, sys, time
depth, above = int(sys.argv[1]), json.loads(sys.argv[2]) + [os.getpid()]
if depth:
    subprocess.Popen([sys.executable, __file__, str(depth - 1), json.dumps(above)])
else:
    print(json.dumps(above), flush=True)
time.sleep(120)
"""


def isGone(pid):
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@unittest.skipIf(missingPackages(), "packages are missing: open the module and press Apply")
class EngineProcessTest(SceneTestCase):
    def startNest(self, depth):
        """A process that has children's children, and the ids of all."""
        script = self.folder / "nest.py"
        script.write_text(NEST)
        process = subprocess.Popen([sys.executable, str(script), str(depth), "[]"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process, json.loads(process.stdout.readline())

    def test_command_runs_the_file_of_the_package_that_is_loaded(self):
        command = commandLine(["models", "list"])
        self.assertEqual(Path(command[1]), Path(SpineFractureSegLib.__file__).resolve().parent / "__main__.py")
        self.assertEqual(command[2:], ["models", "list"])
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("spine-fracture-default", done.stdout)

    @unittest.skipIf(os.name == "nt", "a program for the test that Windows would not start")
    def test_slicers_own_python_is_taken_where_there_is_one(self):
        launcher = self.folder / "PythonSlicer"
        launcher.write_text("#!/bin/sh\n")
        launcher.chmod(0o755)
        with patch.dict(os.environ, {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}):
            self.assertEqual(commandLine([])[0], str(launcher))

    def test_any_character_arrives_as_text(self):
        program = "import sys; print('ü \\u6f22 \\udcff'); print('second')"
        environment = {**os.environ, **environmentAdditions()}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.splitlines()[1], "second")

    def test_end_takes_children_and_their_children_along_within_two_seconds(self):
        process, pids = self.startNest(depth=3)
        self.assertEqual(len(set(pids)), 4)
        startedAt = time.monotonic()
        endTree(process)
        self.assertLess(time.monotonic() - startedAt, END_WITHIN_S)
        self.assertTrue(all(isGone(pid) for pid in pids))
        self.assertIsNotNone(process.returncode)

    def test_end_of_a_process_that_is_gone_does_nothing(self):
        process, _pids = self.startNest(depth=0)
        process.kill()
        process.wait()
        endTree(process)
        endTree(process)

    def test_worker_of_a_launcher_that_was_killed_is_ended_too(self):
        process, pids = self.startNest(depth=1)
        worker = findWorker(process, pids[1])
        process.kill()
        process.wait()
        self.assertFalse(isGone(pids[1]))
        endTree(process, worker)
        self.assertTrue(isGone(pids[1]))

    def test_only_what_comes_from_the_process_can_be_its_worker(self):
        process, pids = self.startNest(depth=1)
        self.assertEqual(findWorker(process, pids[0]).pid, pids[0])
        self.assertEqual(findWorker(process, pids[1]).pid, pids[1])
        self.assertIsNone(findWorker(process, os.getpid()), "it would be killed")
        endTree(process)
        self.assertIsNone(findWorker(process, pids[1]))

    @unittest.skipIf(os.name == "nt", "signals of this kind are POSIX")
    def test_a_process_that_ignores_polite_signals_is_ended(self):
        program = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            endTree(process)
            self.assertEqual(process.returncode, -signal.SIGKILL)
