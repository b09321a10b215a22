"""The list of models in the panel: choose, read about, import, export, delete."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.model_card import ModelCard
    from SpineFractureSegLib.engine.model_store import StoredModel

DEFAULT = ""  # in the parameter node: the bundled default


class ModelChooser:
    """A combo box of the models at hand and the buttons of the user's model folder.

    ``onChosen(name)`` is called when the user chooses another model, ``say(sentence, isError)`` when something fails.
    """

    def __init__(self, ui, onChosen: Callable[[str], None], say: Callable[..., None]) -> None:
        self._ui, self._comboBox = ui, ui.modelComboBox
        self._onChosen, self._say = onChosen, say
        self._models: list[StoredModel] = []
        self._planes: tuple[str, ...] | None = None  # of the chosen model; None: not read yet
        self._name = DEFAULT
        self._comboBox.connect("activated(int)", self._onActivated)
        for button, slot in (
            (ui.importModelButton, self._onImport),
            (ui.exportModelButton, self._onExport),
            (ui.deleteModelButton, self._onDelete),
            (ui.openModelFolderButton, self._onOpenFolder),
        ):
            button.connect("clicked(bool)", slot)
        self.refresh()

    @property
    def name(self) -> str:
        """As in the parameter node."""
        return self._name

    @property
    def model(self) -> StoredModel | None:
        """The chosen model, or None when it is not on this computer."""
        from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL

        name = self._name or DEFAULT_MODEL
        usersFirst = sorted(self._models, key=lambda model: model.bundled)  # as the engine searches
        candidates = self._models if name == DEFAULT_MODEL else usersFirst
        return next((model for model in candidates if model.name == name), None)

    @property
    def card(self) -> ModelCard | None:
        return self.model.card if self.model else None

    @property
    def modelName(self) -> str:
        """The chosen model's own name, also of the default."""
        return self.card.name if self.card else self._name

    @property
    def problem(self) -> str | None:
        """Why the chosen model cannot be used, in one sentence."""
        if self.model is None:
            return _("The model {name} is not on this computer: choose or import another one.").format(name=self._name)
        return self.model.problem

    def choose(self, name: str) -> None:
        """Shows the model with this name as chosen; ``onChosen`` is not called."""
        self._name = name
        self.refresh()

    def refresh(self) -> None:
        """Reads the model folders again."""
        from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL
        from SpineFractureSegLib.engine.model_store import list_models

        self._models = list_models()
        self._planes = None
        wasBlocked = self._comboBox.blockSignals(True)
        self._comboBox.clear()
        for model in self._models:
            label = _("{name} (bundled)").format(name=model.name) if model.bundled else model.name
            self._comboBox.addItem(label, DEFAULT if model.name == DEFAULT_MODEL else model.name)
        index = self._comboBox.findData(self._name)
        if index < 0:
            self._comboBox.addItem(_("{name} (not on this computer)").format(name=self._name), self._name)
            index = self._comboBox.count - 1
        self._comboBox.setCurrentIndex(index)
        self._comboBox.blockSignals(wasBlocked)
        self._comboBox.toolTip = _cardText(self.model) if self.model else self.problem
        self._ui.exportModelButton.enabled = self.card is not None
        self._ui.deleteModelButton.enabled = self.model is not None and not self.model.bundled

    def planes(self) -> tuple[str, ...]:
        """The planes that the chosen model can segment; none when it cannot be used."""
        from SpineFractureSegLib.engine.model_card import read_description

        if self.model is None or self.model.card is None:
            return ()
        if self._planes is None:
            _card, preprocessing = read_description(self.model.path)
            self._planes = preprocessing.planes
        return self._planes

    def _import(self, path: str) -> None:
        """Checks a model file in the engine's process, copies it into the user's folder and chooses it."""
        from pathlib import Path

        from SpineFractureSegLib.scene.engine_command import runToEnd

        runToEnd(["models", "import", str(path)])
        self.choose(Path(path).stem)
        self._onChosen(self._name)

    def _export(self, path: str) -> None:
        """Copies the chosen model to a file; the dialog has asked whether to replace one."""
        from SpineFractureSegLib.engine.model_store import export_model

        export_model(self.model.name, path, replace=True)

    def _delete(self) -> None:
        """Deletes the chosen model from the user's folder."""
        from SpineFractureSegLib.engine.model_store import delete_model

        if self.model is None:
            raise UserError(self.problem)
        delete_model(self.model.name)
        self.choose(DEFAULT)
        self._onChosen(self._name)

    def _openFolder(self) -> None:
        """Shows the user's model folder in the file manager; it is made where there is none yet."""
        from SpineFractureSegLib.engine.model_folders import user_folder

        folder = user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                _("The model folder {folder} cannot be made: {reason}.").format(folder=folder, reason=error.strerror)
            ) from error
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))

    def _onImport(self, *_args) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Import a model"), "", _("Models (*.safetensors)")
        )
        if path:
            self._try(lambda: self._import(path), _("The model could not be imported."))

    def _onExport(self, *_args) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(),
            _("Export the model"),
            f"{self.model.name}.safetensors",
            _("Models (*.safetensors)"),
        )
        if path:
            self._try(lambda: self._export(path), _("The model could not be exported."))

    def _onDelete(self, *_args) -> None:
        if slicer.util.confirmOkCancelDisplay(_("Delete the model {name} for good?").format(name=self._name)):
            self._try(self._delete, _("The model could not be deleted."))

    def _onOpenFolder(self, *_args) -> None:
        self._try(self._openFolder, _("The model folder could not be shown."))

    def _try(self, action: Callable[[], None], failure: str) -> None:
        with slicer.util.tryWithErrorDisplay(failure, waitCursor=True):
            try:
                action()
                self._say("")
            except UserError as error:
                self._say(str(error), isError=True)

    def _onActivated(self, index: int) -> None:
        name = self._comboBox.itemData(index)
        if name != self._name:
            self.choose(name)
            self._onChosen(name)


def _cardText(model: StoredModel) -> str:
    """The model's card as rich text."""
    if model.card is None:
        return html.escape(model.problem or "")
    card = model.card
    rows = [
        (_("Version"), f"{card.version}, {card.created}"),
        (_("What it calls a fracture"), card.label_meaning),
        (_("Trained on"), "; ".join(card.training_data)),
        (_("Scores"), "; ".join(_scores(card.scores))),
        (_("Threshold"), f"{card.threshold:g}"),
        (_("Smallest finding"), f"{card.min_volume_mm3:g} mm\u00b3"),
        (_("Fine-tuned from"), card.parent or ""),
        (_("Licence"), card.licence),
    ]
    lines = "".join(f"<p><b>{html.escape(name)}:</b> {html.escape(text)}</p>" for name, text in rows if text)
    notice = html.escape(_("Research use only. Not a medical device."))
    return f"<h3>{html.escape(card.name)}</h3><p>{html.escape(card.description)}</p>{lines}<p><i>{notice}</i></p>"


def _scores(scores: dict) -> list[str]:
    """Flat ``name value`` texts of nested scores."""
    lines = []
    for name, value in scores.items():
        if isinstance(value, dict):
            lines += [f"{name} {line}" for line in _scores(value)]
        else:
            lines.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return lines
