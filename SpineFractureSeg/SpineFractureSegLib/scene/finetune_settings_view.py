"""The few knobs of the section Fine-tune, and the estimate of the time that they will take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.finetune_run import FinetuneSettings

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.finetune_questions import FinetuneQuestions


class FinetuneSettingsView:
    """``onChanged()`` is called when the name or the estimate has changed, ``say(sentence, isError)`` when the estimate
    fails."""

    def __init__(self, ui, onChanged: Callable[[], None], say: Callable[..., None]) -> None:
        self._ui, self._onChanged, self._say = ui, onChanged, say
        ui.newModelLineEdit.text = f"fine-tuned-{datetime.now():%Y-%m-%d}"
        ui.newModelLineEdit.connect("textChanged(QString)", lambda _text: onChanged())
        for spinBox in (ui.minutesSpinBox, ui.epochsSpinBox):
            spinBox.connect("valueChanged(int)", self._outdateEstimate)
        ui.parentComboBox.connect("currentIndexChanged(int)", self._outdateEstimate)

    @property
    def problem(self) -> str:
        return "" if self._ui.newModelLineEdit.text.strip() else _("Give the new model a name.")

    def settings(self, device: str) -> FinetuneSettings:
        """What is chosen."""
        ui = self._ui
        return FinetuneSettings(
            name=ui.newModelLineEdit.text.strip(),
            parent=ui.parentComboBox.currentData or None,
            labelMeaning=ui.labelMeaningLineEdit.text.strip(),
            wholeBodies=ui.wholeBodiesCheckBox.checked,
            minutes=ui.minutesSpinBox.value,
            epochs=ui.epochsSpinBox.value,
            learningRate=ui.learningRateSpinBox.value,
            mix=ui.mixSlider.value,
            device=device,
        )

    def showParents(self) -> None:
        """Reads the model folders again; the chosen model stays chosen."""
        from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL
        from SpineFractureSegLib.engine.model_store import list_models

        comboBox = self._ui.parentComboBox
        chosen = comboBox.currentData
        wasBlocked = comboBox.blockSignals(True)
        comboBox.clear()
        for model in list_models():
            if model.card is not None:
                label = _("{name} (bundled)").format(name=model.name) if model.bundled else model.name
                comboBox.addItem(label, "" if model.name == DEFAULT_MODEL else model.name)
        comboBox.setCurrentIndex(max(comboBox.findData(chosen), 0))
        comboBox.blockSignals(wasBlocked)

    def askTime(self, questions: FinetuneQuestions, device: str) -> None:
        """Lets the engine try a few steps in the background."""
        try:
            questions.askTime(self.settings(device))
            self._ui.estimateLabel.text = _("Trying a few steps...")
        except UserError as error:
            self._say(str(error), isError=True)

    def showTime(self, estimate: dict | None, error: Exception | None) -> None:
        """The engine's answer."""
        if estimate is not None:
            self._ui.estimateLabel.text = _(
                "{epochs} epochs in about {minutes:.0f} minutes on {device}; preparing and scoring come on top."
            ).format(epochs=estimate["epochs"], minutes=max(estimate["minutes"], 1), device=estimate["device"])
        else:
            self._ui.estimateLabel.text = ""
            if not isinstance(error, Cancelled):
                self._say(str(error), isError=True)
        self._onChanged()

    def _outdateEstimate(self, *_args) -> None:
        self._ui.estimateLabel.text = ""
