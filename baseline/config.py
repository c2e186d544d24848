"""Every knob of a trial, once: its default, help and unit.

Values are taken in this order, the later one winning (sources.py):
defaults < environment < run folder of --resume < --config FILE < command line < NNI.
To add a knob, add a field; every registered factory that names it as an argument receives it.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knob import check_range, knob, scalar
from registry import unknown


@dataclass(frozen=True)
class Config:
    # data
    data_dir: str = knob("", "data root, its train folder or train/images", environment="SM_CHANNEL_TRAIN")
    dataset: str = knob("auto", "how the data root is laid out; auto recognises it")
    classification: str = knob(
        "multi",
        "what is predicted: multi (18 classes), mask 3, gender 2, age 3",
        choices=("multi", "mask", "gender", "age"),
    )
    age_boundaries: tuple[int, ...] = knob(
        (30, 60), "first age of the middle and of the oldest class", unit="years", low=1, high=150, length=2
    )
    skip_unreadable: bool = knob(False, "go on without the training photos that cannot be read")
    crop: int = knob(
        350, "side of the centre crop, at most the photo's own sides; 0 keeps the whole photo", unit="pixels", low=0
    )
    resize: tuple[int, ...] = knob(
        (224, 224), "height and width that the model sees; one number for a square", unit="pixels", low=8, length=2
    )
    mean: tuple[float, ...] = knob(
        (0.548, 0.504, 0.479), "subtracted per channel", unit="share of full brightness", length=3
    )
    std: tuple[float, ...] = knob(
        (0.237, 0.247, 0.246), "divided by per channel", unit="share of full brightness", low=0, strict=True, length=3
    )
    cache_dir: str = knob("~/.cache/podium", "folder of decoded photos, shared by the trials of a machine")
    cache_gib: float = knob(
        20.0,
        "size at which the least recently used decoded sets are removed; what does not fit is decoded anew each epoch",
        unit="GiB",
        low=0,
    )
    # split
    val_ratio: float = knob(0.2, "share of the people that validates: 0.2 makes 5 folds", low=0, high=0.5, strict=True)
    fold: int = knob(0, "which fold validates, from 0", low=0)
    split_seed: int = knob(42, "seed of the folds, apart from --seed so that trials share their folds")
    photo_holdout: float = knob(
        0.0,
        "share of the training people's photos kept out and scored apart, to show what a split by photo would claim",
        low=0,
        high=0.5,
    )
    # model
    model: str = knob("Efficientnet_b0", "Efficientnet_b0..b7, a torchvision classifier, or timm/NAME")
    pretrained: bool = knob(True, "start from ImageNet weights")
    weights: str = knob("", "local file of weights to start from, instead of fetching (.safetensors, .pt, .pth)")
    # training
    seed: int = knob(42, "seed of weights, order and augmentation", low=0)
    epochs: int = knob(30, "passes over the training photos", unit="epochs", low=1)
    batch_size: int = knob(64, "photos a training step", unit="photos", low=1)
    micro_batch: int = knob(
        0,
        "photos of a step that pass the model at once, to save memory; the gradients add up to the whole batch's, but "
        "batch normalisation sees the pieces, and f1 is their mean; 0 passes the whole batch, and halves it where the "
        "memory is full",
        unit="photos",
        low=0,
    )
    precision: str = knob(
        "auto",
        "numbers that the model computes with; auto measures a few steps of each, once on each machine",
        choices=("auto", "float32", "bf16", "fp16"),
    )
    compile: str = knob(
        "auto",
        "torch.compile; auto measures whether it pays, where training takes ten minutes on a GPU or an hour without",
        choices=("auto", "true", "false"),
    )
    valid_batch_size: int = knob(256, "photos a prediction step", unit="photos", low=1)
    augmentation: str = knob(
        "BaseAugmentation",
        "how training photos are varied: none, or of crop, flip, affine, jitter, noise, blur and erasing those wanted, "
        "joined with +; or Base-, Flip-, Gaussian- (jitter+noise) or AffineAugmentation (affine+jitter+noise)",
    )
    crop_margin: float = knob(
        0.125,
        "crop: how much larger photos are stored than the window that the model sees",
        unit="share of height and width",
        low=0,
        high=1,
    )
    degrees: float = knob(0.0, "affine: largest rotation", unit="degrees", low=0, high=180)
    shear: float = knob(10.0, "affine: largest horizontal shear", unit="degrees", low=0, high=80)
    scale: tuple[float, ...] = knob(
        (0.8, 1.2), "affine: smallest and largest scale", unit="times", low=0, strict=True, length=2
    )
    jitter: float = knob(
        0.1,
        "jitter: largest change of brightness, contrast, saturation and hue",
        unit="share of the value, of the circle for hue",
        low=0,
        high=0.5,
    )
    noise_std: float = knob(
        0.02, "noise: how strong", unit="standard deviation, share of full brightness", low=0, high=1
    )
    blur_sigma: tuple[float, ...] = knob(
        (0.1, 2.0),
        "blur: smallest and largest width",
        unit="standard deviation in pixels",
        low=0,
        strict=True,
        length=2,
    )
    erasing_area: tuple[float, ...] = knob(
        (0.02, 0.33), "erasing: smallest and largest box", unit="share of the photo", low=0, high=1, length=2
    )
    mixup: float = knob(0.0, "alpha of mixup's Beta distribution of shares; 0 mixes none", low=0)
    cutmix: float = knob(0.0, "alpha of cutmix's Beta distribution of areas; 0 mixes none", low=0)
    criterion: str = knob("cross_entropy", "loss: cross_entropy, focal, label_smoothing or f1")
    focal_gamma: float = knob(2.0, "how strongly focal plays down easy photos", low=0)
    smoothing: float = knob(0.01, "share of label_smoothing's target that the other classes get", low=0, high=0.5)
    class_weights: str = knob(
        "none", "balanced weighs each class by 1 / its training share", choices=("none", "balanced")
    )
    optimizer: str = knob("Adam", "an optimizer of torch.optim, but LBFGS, SparseAdam and Muon")
    lr: float = knob(0.001, "peak learning rate", low=0, strict=True)
    momentum: float = knob(0.9, "for optimizers that have it", low=0, high=1)
    weight_decay: float = knob(5e-5, "pull of the weights towards 0", low=0)
    schedule: str = knob(
        "auto",
        "learning rate over time: constant, step, drops, cosine; auto is step if lr_decay_step is given, else drops",
    )
    lr_decay: float = knob(0.1, "factor of each drop of the learning rate", low=0, high=1, strict=True)
    lr_decay_step: int = knob(0, "step: epochs between drops", unit="epochs", low=0)
    lr_drops: tuple[float, ...] = knob((10.0, 20.0, 25.0), "drops: after which epochs", unit="epochs", low=0)
    warmup_epochs: float = knob(1.0, "cosine: linear rise to the peak", unit="epochs", low=0)
    # report
    views: str = knob(
        "plain", "how validation and test photos are looked at: plain, or flip for the mean with the mirror image"
    )
    metric: str = knob("accuracy", "the objective that NNI maximises and best.pt is chosen by: accuracy or macro_f1")
    log_interval: int = knob(20, "training steps between progress lines", unit="steps", low=1)
    name: str = knob("exp", "experiment folder of a single trial under the output root")
    model_dir: str = knob("", "output root; outputs/ beside baseline/ when empty", environment="SM_MODEL_DIR")
    device: str = knob("auto", "auto takes the GPU where there is one", choices=("auto", "cpu", "cuda"))
    processes: int = knob(
        0, "processes that share each batch, one per GPU; 0 makes one for each GPU that NNI gave the trial", low=0
    )
    threads: int = knob(0, "CPU threads of this trial, and its processes that decode photos; 0 takes all cores", low=0)
    resume: str = knob(
        "",
        "auto goes on with the newest unfinished run folder of --name that has the same parameters, or begins one; a "
        "run folder goes on with that one, with its parameters. Under NNI a trial always goes on in its own folder",
    )

    def values(self) -> dict[str, Any]:
        """All knobs by name, as JSON knows them (tuples become lists)."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }


# knobs that say where a trial works and what it prints, not what it finds: a resumed trial may have others
PLACES = {
    *("data_dir", "model_dir", "cache_dir", "cache_gib", "name", "device", "processes", "threads", "log_interval"),
    "resume",
}
FIELDS = {entry.name: entry for entry in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)


def convert(name: str, raw: Any, source: str) -> Any:
    """`raw` as the type of knob `name`, checked against its range. Raises ValueError."""
    if name not in FIELDS:
        raise unknown(f"knob from {source}:", name, FIELDS)
    kind, rules = TYPES[name], FIELDS[name].metadata
    try:
        if typing.get_origin(kind) is tuple:
            items = raw if isinstance(raw, (list, tuple)) else str(raw).split()
            value = tuple(scalar(typing.get_args(kind)[0], item) for item in items)
            value = value * 2 if name == "resize" and len(value) == 1 else value
            if rules["length"] and len(value) != rules["length"]:
                raise ValueError(f"{rules['length']} numbers are needed")
        else:
            value = scalar(kind, raw)
        check_range(value, rules)
    except ValueError as error:
        raise ValueError(f"{source}: {name} = {raw!r} is impossible: {error}. {name} is {rules['text']}") from error
    return value


def check(config: Config) -> Config:
    """Rules over several knobs. Raises ValueError."""
    if config.age_boundaries[0] >= config.age_boundaries[1]:
        raise ValueError(f"age_boundaries {config.age_boundaries} must rise")
    for name in ("scale", "blur_sigma", "erasing_area"):
        low, high = getattr(config, name)
        if low > high:
            raise ValueError(f"{name} {low:g} {high:g} is empty; give the smaller number first")
    if config.lr_decay_step and config.schedule not in ("auto", "step"):
        raise ValueError(f"lr_decay_step {config.lr_decay_step} belongs to --schedule step, not {config.schedule}")
    if config.name != Path(config.name).name or config.name in ("", ".", ".."):
        raise ValueError(f"--name {config.name!r} names a folder under the output root, so it has no / and is not ..")
    if config.schedule == "step" and not config.lr_decay_step:
        raise ValueError("--schedule step needs --lr_decay_step EPOCHS")
    return config


def restore(path: Path, **changes: Any) -> Config:
    """The Config that a run folder's config.json holds, with `changes`."""
    stored = json.loads(path.read_text())["parameters"]
    return check(Config(**{name: convert(name, value, str(path)) for name, value in (stored | changes).items()}))
