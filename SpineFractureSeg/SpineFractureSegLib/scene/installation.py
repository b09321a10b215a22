"""The packages that 3D Slicer does not bring along: which are missing, and how they are installed with consent.

torch comes from the extension PyTorch, which knows the build that fits the graphics card; the others are listed in
``Resources/requirements.txt``. Nothing here imports them: a package that was imported cannot be replaced any more.
"""

from __future__ import annotations

from importlib import invalidate_caches, metadata
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError, one_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

REQUESTER = "SpineFractureSeg"
TORCH_VERSIONS = ">=2.5"


def missingPackages() -> list[str]:
    """What is missing or too old, as requirements such as "torch>=2.5"; empty when all is there."""
    return [str(requirement) for requirement in _requirements() if not _isInstalled(requirement)]


def requirePackages() -> None:
    """For Slicer's Python console, where nothing may ask. Raises: UserError, when packages are missing."""
    if missing := missingPackages():
        raise UserError(
            _(
                "The Python packages {packages} are missing: open the module Spine Fracture Segmentation and press "
                "Apply, which installs them."
            ).format(packages=", ".join(missing))
        )


def ensurePackages(askConfirmation: bool = True) -> None:
    """Installs what is missing after the user agreed; waits for it.

    Raises: UserError, when the user declines, the PyTorch extension is missing or the installation fails.
    """
    missing = missingPackages()
    if not missing:
        return
    try:
        if any(requirement.startswith("torch") for requirement in missing):
            _installTorch(askConfirmation)
        _installOthers(askConfirmation)
    except (CalledProcessError, ImportError, OSError, RuntimeError) as error:
        raise UserError(
            _("The packages could not be installed ({reason}): check the network and the log, and try again.").format(
                reason=one_line(error)
            )
        ) from error
    invalidate_caches()
    if missing := missingPackages():
        raise UserError(
            _("The packages {packages} are still missing: restart 3D Slicer and try again.").format(
                packages=", ".join(missing)
            )
        )


def _installTorch(askConfirmation: bool) -> None:
    try:
        import PyTorchUtils
    except ImportError as error:
        raise UserError(
            _("The extension PyTorch is missing: install it with Slicer's Extensions Manager and restart 3D Slicer.")
        ) from error
    torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=askConfirmation, torchVersionRequirement=TORCH_VERSIONS
    )
    if torch is None:
        raise _declined(_("PyTorch was not installed"))


def _installOthers(askConfirmation: bool) -> None:
    from slicer.packaging import load_requirements, pip_ensure

    try:
        pip_ensure(load_requirements(_requirementsFile()), prompt_install=askConfirmation, requester=REQUESTER)
    except RuntimeError as error:  # how it says that the user declined
        raise _declined(one_line(error)) from error


def _declined(reason: str) -> UserError:
    return UserError(
        _("Without its packages the segmentation cannot run ({reason}): press Apply again to install them.").format(
            reason=reason
        )
    )


def _requirementsFile() -> Path:
    return Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"


def _requirements() -> list[Requirement]:
    from packaging.requirements import Requirement
    from slicer.packaging import load_requirements

    return [Requirement(f"torch{TORCH_VERSIONS}"), *load_requirements(_requirementsFile())]


def _isInstalled(requirement: Requirement) -> bool:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
