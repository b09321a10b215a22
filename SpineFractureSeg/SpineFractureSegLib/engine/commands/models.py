"""List, show, import, export or delete models.

  spine-fracture-seg models list
  spine-fracture-seg models show spine-fracture-default
  spine-fracture-seg models import /media/usb/clinic.safetensors --name clinic-2026
  spine-fracture-seg models export clinic-2026 /media/usb
  spine-fracture-seg models delete clinic-2026

Bundled models are read only. The user's own lie in the folder that `models list` prints; the environment variable
SPINE_FRACTURE_SEG_MODELS names another.
"""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="names, versions and descriptions")

    show = actions.add_parser("show", help="a model's card as JSON")
    show.add_argument("model", help="name or file")

    take = actions.add_parser("import", help="copy a model file into the user's folder, after checking it")
    take.add_argument("file")
    take.add_argument("--name", help="default: the file's name")
    take.add_argument("--replace", action="store_true", help="replace a model of this name")

    give = actions.add_parser("export", help="copy a model to a file or into a folder")
    give.add_argument("name")
    give.add_argument("destination")
    give.add_argument("--replace", action="store_true", help="replace an existing file")

    delete = actions.add_parser("delete", help="delete a model of the user's")
    delete.add_argument("name")


def run(arguments: argparse.Namespace) -> int:
    return {"list": _list, "show": _show, "import": _import, "export": _export, "delete": _delete}[arguments.action](
        arguments
    )


def _list(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.model_folders import user_folder
    from SpineFractureSegLib.engine.model_store import list_models

    models = list_models()
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        kind = "bundled" if model.bundled else "yours"
        about = (
            f"version {model.card.version}  {model.card.description}" if model.card else f"UNUSABLE: {model.problem}"
        )
        print(f"{model.name:<{width}}  {kind:<7}  {about.rstrip()}")
    print(f"Your models lie in {user_folder()}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.json_fields import to_fields
    from SpineFractureSegLib.engine.model_file import load_model

    model = load_model(arguments.model)
    card = {
        **to_fields(model.card),
        "network": to_fields(model.network_config),
        "preprocessing": to_fields(model.preprocessing),
        "path": str(model.path),
    }
    print(json.dumps(card, indent=2, ensure_ascii=False))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.model_store import import_model

    model = import_model(arguments.file, arguments.name, replace=arguments.replace)
    print(f"Imported {model.name}: {model.path}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.model_store import export_model

    print(f"Exported to {export_model(arguments.name, arguments.destination, replace=arguments.replace)}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.model_store import delete_model

    delete_model(arguments.name)
    print(f"Deleted {arguments.name}")
    return 0
