"""NNI as it was released, beside the repaired one: to show what a repair changes."""

import shutil
from pathlib import Path

import nni
import nni_node

from nni_repair import local, undo

LARGE = {"node", "node_modules", "static/static/js"}  # linked, not copied


def released_nni(folder):
    """A folder for PYTHONPATH in which NNI is as released."""
    installed = Path(nni_node.__path__[0])

    def large(place, names):
        return [name for name in names if str((Path(place) / name).relative_to(installed)) in LARGE]

    shutil.copytree(installed, folder / "nni_node", ignore=large)
    for name in LARGE:
        (folder / "nni_node" / name).symlink_to(installed / name)
    shutil.copytree(nni.__path__[0], folder / "nni", ignore=shutil.ignore_patterns("__pycache__"))
    undo(local(folder))
    return folder
