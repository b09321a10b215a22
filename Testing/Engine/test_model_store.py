"""Models by name: the two folders, safe names, import, export, delete."""

from pathlib import Path

import pytest

from SpineFractureSegLib.engine import model_folders
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.model_file import ModelCard, load_model, save_model
from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL, bundled_folder, find_model, user_folder
from SpineFractureSegLib.engine.model_store import delete_model, export_model, import_model, list_models
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "clinic.safetensors"
    config = NetworkConfig(width=4)
    save_model(path, FractureNetwork(config), config, Preprocessing(), ModelCard(name="Clinic", description="Ours"))
    return path


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, model_file) -> tuple[Path, Path]:
    """A bundled folder with the default model and a user's folder that does not exist yet."""
    bundled, own = tmp_path / "bundled", tmp_path / "own" / "models"
    bundled.mkdir()
    (bundled / f"{DEFAULT_MODEL}.safetensors").write_bytes(model_file.read_bytes())
    monkeypatch.setenv("SPINE_FRACTURE_SEG_MODELS", str(own))
    for module in ("model_folders", "model_store"):
        monkeypatch.setattr(f"SpineFractureSegLib.engine.{module}.bundled_folder", lambda: bundled)
    return bundled, own


def test_the_bundled_model_is_the_default(folders):
    assert load_model().path == folders[0] / f"{DEFAULT_MODEL}.safetensors"
    assert load_model(DEFAULT_MODEL).card.name == "Clinic"


def test_an_imported_model_is_listed_found_and_loaded_by_name(model_file, folders):
    stored = import_model(model_file, "clinic-2")
    assert stored.path == folders[1] / "clinic-2.safetensors"
    assert [(model.name, model.bundled) for model in list_models()] == [(DEFAULT_MODEL, True), ("clinic-2", False)]
    assert list_models()[1].card.description == "Ours"
    assert load_model("clinic-2").path == find_model("clinic-2") == stored.path


def test_an_imported_model_takes_the_files_name_by_default(model_file):
    assert import_model(model_file).name == "clinic"


def test_importing_over_a_model_needs_consent(model_file):
    import_model(model_file)
    with pytest.raises(UserError, match="already"):
        import_model(model_file)
    assert import_model(model_file, replace=True).name == "clinic"


def test_a_name_that_differs_only_in_case_is_taken(model_file):
    import_model(model_file)
    with pytest.raises(UserError, match="already"):
        import_model(model_file, "CLINIC")


def test_a_damaged_file_is_not_imported_and_leaves_nothing(tmp_path, folders):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not a model")
    with pytest.raises(UserError, match="damaged"):
        import_model(damaged)
    assert not folders[1].exists()


def test_a_damaged_file_in_the_users_folder_is_listed_with_its_problem(model_file, folders):
    import_model(model_file)
    (folders[1] / "broken.safetensors").write_bytes(b"{}")
    broken = next(model for model in list_models() if model.name == "broken")
    assert broken.card is None
    assert "not a model file" in broken.problem


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".hidden", "..", "x" * 101, "a b", "né", "nul", "COM1.x", "a."]
)
def test_names_that_could_leave_the_folder_or_that_a_disk_refuses_are_refused(name, model_file, folders):
    for action in (lambda: import_model(model_file, name), lambda: delete_model(name), lambda: find_model(name)):
        with pytest.raises(UserError, match="cannot be a model's name"):
            action()
    assert not folders[1].exists()


def test_a_bundled_model_is_neither_replaced_nor_deleted(model_file):
    with pytest.raises(UserError, match="bundled"):
        import_model(model_file, DEFAULT_MODEL, replace=True)
    with pytest.raises(UserError, match="bundled"):
        import_model(model_file, DEFAULT_MODEL.upper(), replace=True)
    with pytest.raises(UserError, match="bundled"):
        delete_model(DEFAULT_MODEL)
    assert find_model(DEFAULT_MODEL).is_file()


def test_a_file_in_the_users_folder_never_stands_in_for_the_default(model_file, folders):
    import_model(model_file)
    (folders[1] / f"{DEFAULT_MODEL}.safetensors").write_bytes(b"an impostor")
    assert find_model(DEFAULT_MODEL).parent == folders[0]


def test_an_exported_model_is_the_same_file_and_can_come_back(model_file, tmp_path):
    import_model(model_file)
    exported = export_model("clinic", tmp_path)
    assert exported == tmp_path / "clinic.safetensors"
    assert exported.read_bytes() == model_file.read_bytes()
    delete_model("clinic")
    assert import_model(exported).card.name == "Clinic"


def test_exporting_over_a_file_needs_consent_and_a_models_suffix(model_file, tmp_path):
    import_model(model_file)
    export_model("clinic", tmp_path)
    with pytest.raises(UserError, match="exists"):
        export_model("clinic", tmp_path)
    export_model("clinic", tmp_path, replace=True)
    with pytest.raises(UserError, match=r"\.safetensors"):
        export_model("clinic", tmp_path / "clinic.zip")


def test_a_deleted_model_is_gone(model_file):
    import_model(model_file)
    delete_model("clinic")
    with pytest.raises(UserError, match=DEFAULT_MODEL):  # the sentence lists those that there are
        load_model("clinic")
    with pytest.raises(UserError, match="no model 'clinic'"):
        delete_model("clinic")


def test_a_folder_that_takes_no_files_is_said_in_one_sentence(model_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPINE_FRACTURE_SEG_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(UserError, match="cannot be written"):
        import_model(model_file)


def test_a_failed_copy_leaves_no_partial_file(model_file, folders, monkeypatch):
    def fails_midway(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("SpineFractureSegLib.engine.model_store.shutil.copyfile", fails_midway)
    with pytest.raises(UserError, match="No space left"):
        import_model(model_file)
    assert list(folders[1].iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_DATA_HOME", "SpineFractureSeg/models"),
        ("win32", "LOCALAPPDATA", "SpineFractureSeg/models"),
    ],
)
def test_without_the_variable_models_lie_where_the_platform_keeps_data(
    platform, variable, expected, monkeypatch, tmp_path
):
    monkeypatch.delenv("SPINE_FRACTURE_SEG_MODELS")
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(model_folders.sys, "platform", platform)
    assert user_folder() == tmp_path / expected


def test_the_bundled_folder_of_a_clone_is_the_modules(monkeypatch):
    monkeypatch.undo()
    assert bundled_folder().parts[-3:] in (
        ("SpineFractureSeg", "Resources", "Models"),
        ("SpineFractureSegLib", "Resources", "Models"),
    )
