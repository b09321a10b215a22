"""Stands in for `slicer.packaging`: finds out what is installed, asks as Slicer does, and never installs.

What would have been installed is recorded in `SlicerStandIn.pip_installs`. When Slicer's own file is used, only its
`pip_install` and `pip_uninstall` are replaced.
"""

import importlib.metadata
import logging
from pathlib import Path

import slicer
from packaging.requirements import Requirement

import SlicerStandIn


def load_requirements(path):
    """Returns the requirements of a file, comments and empty lines left out."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def pip_check(requirements):
    """Whether all are installed; a requirement whose marker does not apply is met."""
    return all(_isMet(requirement) for requirement in _asList(requirements))


def pip_ensure(requirements, prompt_install=True, requester=None, skip_in_testing=True, **_):
    """Asks and "installs" what is missing.

    Raises:
        RuntimeError: the user declined.
    """
    missing = [requirement for requirement in _asList(requirements) if not _isMet(requirement)]
    if not missing:
        return
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping pip_ensure")
        return
    if prompt_install:
        message = f"{len(missing)} Python packages need to be installed."
        details = "\n".join(f"- {requirement}" for requirement in missing)
        title = f"{requester} - Install Python Packages"
        if not slicer.util.confirmOkCancelDisplay(message, title, detailedText=details):
            raise RuntimeError("User declined package installation")
    slicer.packaging.pip_install([str(requirement) for requirement in missing])


def pip_install(requirements, *_, **__):
    """Records what would be installed."""
    SlicerStandIn.pip_installs.extend(str(requirement) for requirement in _asList(requirements))


def pip_uninstall(requirements, *_, **__):
    """Does nothing."""


def _asList(requirements):
    if isinstance(requirements, str):
        requirements = requirements.split()
    elif isinstance(requirements, Requirement):
        requirements = [requirements]
    return [Requirement(str(requirement)) for requirement in requirements]


def _isMet(requirement):
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
