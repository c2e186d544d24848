import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from copies.embedding import Trunk

NAME = "timm/test_resnet"  # timm's own for tests, of 0.5 M parameters


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(timm.create_model(NAME.removeprefix("timm/")).state_dict(), path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((80, 60)).save(path)
    return paths


def vectors_of(trunk, photos):
    return [value for _, values in trunk.embed_all(photos) for value in values]


def test_a_photo_becomes_the_networks_features_of_length_1(weights, photos):
    trunk = Trunk(NAME, weights, 3)
    model = timm.create_model("test_resnet", num_classes=0)
    state = load_file(weights)
    model.load_state_dict({name: tensor for name, tensor in state.items() if name in model.state_dict()})
    pixels = torch.from_numpy(trunk.pixels(photos[0]).copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(model.default_cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = model.eval()((pixels - mean) / std)[0].numpy()
    found = vectors_of(trunk, photos)
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert [np.linalg.norm(vector) for vector in found] == pytest.approx([1, 1, 1], abs=1e-5)
    assert found[0].shape == (trunk.features,)


def test_what_cannot_be_read_says_why_between_the_others(weights, photos, tmp_path):
    (tmp_path / "bad.png").write_text("no photo")
    trunk = Trunk(NAME, weights, 3)
    first, bad, second = vectors_of(trunk, [photos[0], tmp_path / "bad.png", photos[1]])
    assert bad.startswith("UnidentifiedImageError")
    np.testing.assert_allclose([first, second], vectors_of(trunk, photos)[:2], atol=1e-5)
    assert vectors_of(trunk, [tmp_path / "bad.png"])[0] == bad
    assert vectors_of(trunk, []) == []


def test_samples_of_four_channels_are_embedded(weights, photos):
    trunk = Trunk(NAME, weights, 4)
    (vector,) = vectors_of(trunk, [(*photos, photos[0])])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_other_weights_are_another_kind(weights, tmp_path):
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "other.safetensors")
    kinds = {Trunk(NAME, path, 3).kind for path in (weights, weights, str(tmp_path / "other.safetensors"))}
    assert len(kinds) == 2


def test_vectors_of_an_older_version_of_this_code_are_another_kind(weights, monkeypatch):
    before = Trunk(NAME, weights, 3).kind
    monkeypatch.setattr("copies.embedding.VERSION", 99)
    assert Trunk(NAME, weights, 3).kind != before


@pytest.mark.parametrize(
    ("name", "file", "says"),
    [
        ("resnet18", "", "only networks of timm"),
        ("timm/resnet999", "", "unknown timm model 'resnet999'"),
        (NAME, "none.safetensors", "no such file"),
        ("timm/test_vit", "WEIGHTS", "does not fit the model"),
    ],
)
def test_what_cannot_embed_is_refused(name, file, says, weights):
    with pytest.raises(ValueError, match=says):
        Trunk(name, weights if file == "WEIGHTS" else file, 3)
