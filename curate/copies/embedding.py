"""What a network trained on ImageNet sees in a photo, as a vector: near for pictures of the same, however cropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bands import Photo
from decode import cores, decode
from model import model_factory, widen
from pretrained import fetch_weights, load_trunk, read_weights

MODEL = "timm/tf_efficientnet_lite0"
VERSION = 1  # raise it when the vector of a photo changes
SIDE = 160  # pixels: half the work of 224, and as good at this
BATCH = 64  # photos that pass the network at once


class Trunk:
    """A timm network without its last layer; `kind` names the network, its weights and VERSION."""

    def __init__(self, name: str, weights: str, channels: int) -> None:
        """Raises ValueError for an unknown name, and weights that do not fit or cannot be fetched."""
        if not name.startswith("timm/"):
            raise ValueError(f"--embedding {name}: only networks of timm have a trunk here; write timm/NAME")
        classes = 1000
        self.module = model_factory(name)(classes)
        source = weights or f"the ImageNet weights of {name}"
        state = read_weights(Path(weights).expanduser()) if weights else fetch_weights(name)
        load_trunk(self.module, state, source, classes)
        self.module.reset_classifier(0)
        if channels != 3:
            widen(self.module, name, channels)
        config = self.module.default_cfg
        self.mean, self.std = ([*config[key], *[config[key][0]] * (channels - 3)] for key in ("mean", "std"))
        self.size = config["input_size"][1:] if config.get("fixed_input_size") else (SIDE, SIDE)
        self.channels, self.features = channels, int(self.module.num_features)
        digest = hashlib.sha256(f"{name} {self.size} {channels}".encode())
        for tensor in state.values():
            digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
        self.kind = f"embedding{VERSION}-{digest.hexdigest()[:12]}"

    def embed_all(self, photos: Sequence[Photo]) -> Iterator[tuple[Sequence[int], list[np.ndarray | str]]]:
        """Rows of `photos`, and of each a vector of length 1 or why it cannot be read; as they get ready."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        module = self.module.to(device, memory_format=torch.channels_last).eval()
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(photos), BATCH):
                pixels = list(pool.map(self.pixels, photos[start : start + BATCH]))
                readable = [photo for photo in pixels if not isinstance(photo, str)]
                vectors = iter(self.embed(module, np.stack(readable), device) if readable else ())
                yield (
                    range(start, start + len(pixels)),
                    [photo if isinstance(photo, str) else next(vectors) for photo in pixels],
                )

    def pixels(self, photo: Photo) -> np.ndarray | str:
        try:
            return decode(photo, 0, self.size, self.channels)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's plugins fail in many ways
            return f"{type(error).__name__}: {error}"

    @torch.inference_mode()
    def embed(self, module: nn.Module, photos: np.ndarray, device: torch.device) -> np.ndarray:
        """uint8 (B, H, W, C) -> float32 (B, D) of length 1."""
        batch = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.mean, self.std))
        return nn.functional.normalize(module((batch - mean) / std)).float().cpu().numpy()
