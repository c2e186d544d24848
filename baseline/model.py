"""Models: photos (B, C, H, W) float -> logits (B, K).

Known by name are Efficientnet_b0..b7 (efficientnet-pytorch), every classifier of torchvision, timm/NAME and
FILE.py:CLASS (custom.py); each library is imported when one of its models is asked for. To add one, decorate
`f(out_features, …knobs) -> Module` with `@MODELS.register("name")`. Where f names in_channels it gets C; else its
module is built for 3 channels, and its first convolution is widened to more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attention import attend, holds_head, watched
from custom import custom_model, is_custom, place
from memory import memory_is_full
from pretrained import State, fetch_weights, load_trunk, read_weights
from registry import Registry, call, unknown

MODELS = Registry("model")


def build_model(name: str, out_features: int, knobs: dict[str, Any], channels: int = 3) -> nn.Module:
    """The model `name` for photos of `channels` channels, started as the knobs `weights` and `pretrained` say.

    Raises ValueError for an unknown name, a file that does not fit, weights that cannot be fetched, or a model that
    takes no more channels, or no attention head.
    """
    factory = model_factory(name)
    asked = inspect.signature(factory).parameters.keys()
    classes, width = ("out_features", "num_classes"), ("in_channels", "channels")
    module = call(factory, knobs | dict.fromkeys(classes, out_features) | dict.fromkeys(width, channels))
    if channels != 3 and not asked & set(width):
        widen(module, name, channels)
    source, state = weights_for(name, knobs, "pretrained" in asked)
    begins_with_head = knobs["attention"] and holds_head(state)
    if begins_with_head:
        add_attention(module, name, knobs["resize"], channels, out_features)
    if state:
        key = f"{first_convolution(module, channels)}.weight"
        if channels != 3 and key in state and state[key].shape[1] == 3:
            state[key] = widened(state[key], channels)
        load_trunk(module, state, source, out_features)
    if knobs["attention"] and not begins_with_head:  # of the last layer's weights, loaded or new
        add_attention(module, name, knobs["resize"], channels, out_features)
    return module


def weights_for(name: str, knobs: dict[str, Any], fetches: bool) -> tuple[str, State]:
    """What the model starts from, in words and as tensors; none for new ones, or where its factory `fetches` them."""
    if knobs["weights"]:
        return knobs["weights"], read_weights(Path(knobs["weights"]).expanduser())
    if not knobs["pretrained"] or fetches:
        return "", {}
    if is_custom(name):
        print(f"note: {name} starts as it builds itself: no ImageNet weights are known for it", flush=True)
        return "", {}
    return f"the ImageNet weights of {name}", fetch_weights(name)


def add_attention(module: nn.Module, name: str, size: tuple[int, int], channels: int, out_features: int) -> None:
    """Raises ValueError where the attention head does not fit `module`."""
    with watched(module) as runs:
        try_on(module, name, size, next(module.parameters()).device, channels, out_features)
    attend(module, name, runs)
    module.train()


def model_factory(name: str) -> Callable[..., nn.Module]:
    """Raises ValueError for an unknown name."""
    if name in MODELS.entries:
        return MODELS[name]
    if is_custom(name):
        return custom_model(name)
    if name.startswith("timm/"):
        return timm_model(name.removeprefix("timm/"))
    if name not in (others := torchvision_names()):
        raise unknown("model", name, [*MODELS.entries, *others])
    return torchvision_classifier(name)


def timm_model(name: str) -> Callable[..., nn.Module]:
    import timm

    if not timm.is_model(name.split(".")[0]):
        raise unknown("timm model", name, timm.list_models())
    return lambda out_features: timm.create_model(name, num_classes=out_features)


def torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def efficientnet(version: str) -> Callable[..., nn.Module]:
    def build(out_features: int, resize: tuple[int, int]) -> nn.Module:
        """efficientnet-pytorch's network, padded for `resize`, with torch's own SiLU in place of its swish."""
        from efficientnet_pytorch import EfficientNet

        network = EfficientNet.from_name(f"efficientnet-{version}", image_size=resize, num_classes=out_features)
        for part in network.modules():
            if hasattr(part, "_swish"):
                part._swish = nn.SiLU(inplace=True)
        return network

    return build


def torchvision_classifier(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    def build(out_features: int, resize: tuple[int, int]) -> nn.Module:
        options: dict[str, Any] = {}
        if name in ("googlenet", "inception_v3"):
            options = {"aux_logits": False, "init_weights": True}
        elif name.startswith("vit_"):
            if resize[0] != resize[1]:
                raise ValueError(f"{name} takes square photos; --resize {resize[0]} {resize[1]} is not")
            options = {"image_size": resize[0]}
        elif name.startswith("maxvit"):
            options = {"input_size": resize}
        return models.get_model(name, weights=None, num_classes=out_features, **options)

    return build


for _version in range(8):
    MODELS.register(f"Efficientnet_b{_version}")(efficientnet(f"b{_version}"))


def first_convolution(module: nn.Module, channels: int) -> str:
    """The name of the first convolution over all `channels` channels; empty if there is none."""
    parts = ((key, part) for key, part in module.named_modules() if isinstance(part, nn.Conv2d))
    return next((key for key, part in parts if part.in_channels == channels and part.groups == 1), "")


def widen(module: nn.Module, name: str, channels: int) -> None:
    """Makes the first convolution of `module`, built for 3 channels, take `channels`, 3 or more. Raises ValueError."""
    key = first_convolution(module, 3)
    if not key:
        raise ValueError(
            f"{name} has no convolution over 3 channels that could be widened to the data's {channels}; take a model "
            "that begins with one, as resnet34 does, or one from your own file that asks for in_channels"
        )
    convolution = module.get_submodule(key)
    convolution.weight = nn.Parameter(widened(convolution.weight.detach(), channels))
    convolution.in_channels = channels


def widened(weight: Tensor, channels: int) -> Tensor:
    """(O, 3, H, W) -> (O, channels, H, W): each further channel a copy of red's, which is the first."""
    return torch.cat([weight, weight[:, :1].repeat(1, channels - 3, 1, 1)], dim=1)


@torch.inference_mode()
def try_on(
    model: nn.Module,
    name: str,
    size: tuple[int, int],
    device: torch.device,
    channels: int,
    out_features: int,
) -> None:
    """Raises ValueError where `model` cannot take photos of `size` (H, W), or gives other than (B, out_features)."""
    photos = torch.linspace(-1, 1, 2 * channels * size[0] * size[1], device=device).reshape(2, channels, *size)
    seen = f"photos of {size[0]} x {size[1]}" + (f" with {channels} channels" if channels != 3 else "")
    try:
        logits = model.eval()(photos)
    except Exception as error:  # each library, and a user's own model, refuses in its own way
        if memory_is_full(error):
            raise
        advice = "Change --resize" + (", or the model" if is_custom(name) else "")
        raise ValueError(f"{name} cannot take {seen}: {error}{place(name, error)}. {advice}") from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (2, out_features):
        raise ValueError(
            f"{name} gives {shape} for 2 {seen}, not a tensor (2, {out_features}); a model must give "
            "one number for each photo and class"
        )
