"""Stands in for the running application 3D Slicer, so that the module's logic and panel can be tested without it.

What is real: everything of the package slicer-core, which is Slicer's own C++ half without Qt (scene, nodes, storage,
segmentations, terminologies, module logics) and Slicer's own `slicer.util`. What is stood in for is described, with
the points where it is known to differ, at the head of each file:

- `slicer_namespace`: what the module `slicer` holds, and Slicer's Python half (own small files, or the real ones).
- `application`: `slicer.app` and `slicer.modules`. `scene`: the scene with its logics. `subject_hierarchy`. `file_io`.
- `pythonqt`: `qt` and `ctk` with the manners of PythonQt. `ctk_*`, `mrml_widgets`, `node_combo_box`,
  `segment_widgets`, `ui_loader`: the widgets of a panel.
- `dialogs`: message boxes and file dialogs, which never block. `packages`: pip, which never installs.
- `module_loader`: loads a scripted module. `sample_data`: the module Sample Data. `views`: pictures of slices and 3D.

A test that passes here is "tested against a stand-in of Slicer", not tested in Slicer.
"""

from .events import process_events, slot_errors, wait_until
from .module_loader import load_module, unload_all, unload_module
from .start import boot, reset

__all__ = [
    "answer",
    "boot",
    "load_module",
    "next_file",
    "opened_urls",
    "pip_installs",
    "process_events",
    "reset",
    "shown_messages",
    "slot_errors",
    "unload_all",
    "unload_module",
    "wait_until",
]

# What the user of a test saw and says; see `dialogs` and `packages`. reset() sets them back.
shown_messages = []
opened_urls = []
pip_installs = []
answer = True
next_file = ""
