from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests need no GPU and must give the same with one

from draw import draw_competition
from experiment import free_port, processes, start

pytest_plugins = ["remote"]  # its fixture `boxes`

PROJECT = Path(__file__).resolve().parent.parent
REAL_PHOTOS = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn competition of 20 people, and 5 to predict; read-only, its answers beside it."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    draw_competition(root, people=20, eval_people=5, seed=3)
    return root


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    """A copy of the drawn competition that a test may break."""
    return Path(shutil.copytree(drawn, tmp_path / "data"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def quick(cache: Path, tmp_path: Path) -> list[str]:
    """Options of a trial that takes a second."""
    words = "--model squeezenet1_1 --pretrained false --resize 24 --epochs 2 --batch_size 32 --threads 1 --device cpu"
    words += " --precision float32 --compile false"
    return [*words.split(), "--cache_dir", str(cache), "--model_dir", str(tmp_path / "outputs")]


@pytest.fixture
def real_photos() -> Path:
    if not REAL_PHOTOS.is_dir():
        pytest.skip(f"the real photos are not at {REAL_PHOTOS}")
    return REAL_PHOTOS


@pytest.fixture
def launch(tmp_path):
    """Starts experiments; stops them after the test and sees that nothing is left of them."""
    running = []

    def begin(config):
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(config))
        running.append(start(path, free_port(), tmp_path))
        return running[-1]

    yield begin
    for experiment in running:
        experiment.stop()
        assert processes(experiment.id) == []
