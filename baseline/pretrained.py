"""Weights to start from: fetched from their publisher, or read from a local file, and put into a model."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

State = dict[str, torch.Tensor]
DENSENET_LAYER = r"^(.*denselayer\d+\.(?:norm|relu|conv))\.(\d)"  # "norm.1" in the published file, "norm1" in the model


def fetch_weights(name: str) -> State:
    """ImageNet weights from their publisher, kept in torch's or the hub's own cache. Raises ValueError."""
    try:
        if name.startswith("timm/"):
            import timm

            return timm.create_model(name.removeprefix("timm/"), pretrained=True).state_dict()
        if name.startswith("Efficientnet_"):
            from efficientnet_pytorch.utils import url_map

            address = url_map[name.lower().replace("_", "-")]
            return torch.hub.load_state_dict_from_url(address, map_location="cpu", weights_only=True)
        from torchvision import models

        state = models.get_model_weights(name).DEFAULT.get_state_dict(check_hash=True, weights_only=True)
        return rename(state, DENSENET_LAYER, r"\1\2") if name.startswith("densenet") else state
    except Exception as error:  # each library and network fails in its own way
        raise ValueError(
            f"the ImageNet weights of {name} could not be fetched ({type(error).__name__}: {str(error)[:200]}). "
            "Pass --weights FILE for a local file, or --pretrained false to start from random weights"
        ) from error


def read_weights(path: Path) -> State:
    """Tensors by name from .safetensors, or from a .pt or .pth file that holds nothing else. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format fails in its own way
        raise ValueError(
            f"weights {path} cannot be read as tensors alone ({type(error).__name__}: {str(error)[:200]}). "
            "The file is damaged, or holds a model where its state_dict() is wanted"
        ) from error
    state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
    wrapped = all(name.startswith("module.") for name in state)  # by DataParallel
    return rename(state, r"^module\.", "") if wrapped else state


def rename(state: State, pattern: str, replacement: str) -> State:
    return {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}


def load_trunk(module: nn.Module, state: State, source: str, out_features: int) -> None:
    """Loads `state` into `module`; a last layer of another number of classes stays new. Raises ValueError.

    Everything else must fit: no tensor is left out but those of a training-only auxiliary head.
    """
    own = module.state_dict()

    def is_last(name: str) -> bool:
        """A tensor of a layer that gives the classes: only its first side may differ."""
        other = state[name].shape[1:] if name in state else own[name].shape[1:]
        return own[name].shape[:1] == (out_features,) and other == own[name].shape[1:]

    misfits = {name for name in own if name in state and state[name].shape != own[name].shape}
    fitting = OrderedDict(
        (name, tensor) for name, tensor in state.items() if name not in misfits and not name.lower().startswith("aux")
    )
    # the versions of its layers' layouts, by which torch renames the tensors of older files
    fitting._metadata = getattr(state, "_metadata", own._metadata)
    result = module.load_state_dict(fitting, strict=False)
    new = {name for name in result.missing_keys if not name.endswith("num_batches_tracked")}
    wrong = sorted(name for name in new | misfits if not is_last(name))
    if wrong or result.unexpected_keys:
        raise ValueError(
            f"{source} does not fit the model (at this --resize): {len(wrong)} of its {len(own)} tensors are missing or"
            f" of another shape ({', '.join(wrong[:3])}), {len(result.unexpected_keys)} are unknown to it"
            f" ({', '.join(result.unexpected_keys[:3])})"
        )
    layer = f"; new: {', '.join(sorted(new))}" if new else ""
    print(f"started from {source}: {len(own) - len(new)} tensors{layer}", flush=True)
