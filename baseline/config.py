"""Every knob of a trial, once: its default, help and unit.

Values are taken in this order, the later one winning:
defaults < environment < run folder of --resume < --config FILE < command line < NNI.
To add a knob, add a field; every registered factory that names it as an argument receives it.
"""

from __future__ import annotations

import argparse
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
    cache_gib: float = knob(20.0, "size at which the least recently used decoded sets are removed", unit="GiB", low=0)
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
        "batch normalisation sees the pieces, and f1 is their mean; at least 2; 0 passes the whole batch",
        unit="photos",
        low=0,
    )
    valid_batch_size: int = knob(256, "photos a prediction step", unit="photos", low=1)
    augmentation: str = knob(
        "BaseAugmentation",
        "how training photos are varied: none, Base-, Flip-, Gaussian- or AffineAugmentation",
    )
    noise_std: float = knob(
        0.02,
        "noise of AffineAugmentation and GaussianAugmentation",
        unit="standard deviation, share of full brightness",
        low=0,
        high=1,
    )
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
    metric: str = knob("accuracy", "the objective that NNI maximises and best.pt is chosen by: accuracy or macro_f1")
    log_interval: int = knob(20, "training steps between progress lines", unit="steps", low=1)
    name: str = knob("exp", "experiment folder of a single trial under the output root")
    model_dir: str = knob("", "output root; outputs/ beside baseline/ when empty", environment="SM_MODEL_DIR")
    device: str = knob("auto", "auto takes the GPU where there is one", choices=("auto", "cpu", "cuda"))
    threads: int = knob(0, "CPU threads of this trial; 0 takes all cores", low=0)
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
PLACES = {"data_dir", "model_dir", "cache_dir", "cache_gib", "name", "device", "threads", "log_interval", "resume"}
FIELDS = {entry.name: entry for entry in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)


def load(argv: list[str], environment: dict[str, str], parameters: dict[str, Any]) -> tuple[Config, list[dict]]:
    """The trial's Config, and what overrode what: a list of {knob, value, from, by, now}.

    `environment` holds environment variables, `parameters` what NNI chose. Raises ValueError for an
    unknown knob or an impossible value, naming where it was given.
    """
    from_file, from_line = read_line(argv)
    sources = {
        "environment": from_environment(environment),
        "run folder": {} if parameters else from_run(from_line.get("resume", "")),  # NNI's trials have their own
        "config file": from_file,
        "command line": from_line,
        "NNI": parameters,
    }
    chosen, origin, overrides = {}, {}, []
    for source, given in sources.items():
        for name, raw in given.items():
            value = convert(name, raw, source)
            if name in chosen and chosen[name] != value:
                overrides.append(
                    {"knob": name, "value": chosen[name], "from": origin[name], "by": source, "now": value}
                )
            chosen[name], origin[name] = value, source
    return check(Config(**chosen)), overrides


def from_environment(environment: dict[str, str]) -> dict[str, str]:
    named = {name: entry.metadata["environment"] for name, entry in FIELDS.items()}
    return {name: environment[key] for name, key in named.items() if environment.get(key)}


def from_run(resume: str) -> dict[str, Any]:
    """The parameters of the run folder that --resume names."""
    if resume in ("", "auto"):
        return {}
    path = Path(resume).expanduser()
    if not (path / "config.json").is_file():
        raise ValueError(f"--resume {path} is no run folder: it lacks config.json")
    return read_file(path)


def read_line(argv: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The command line as (values of its --config FILE, values given on it)."""
    parser = argument_parser()
    known, rest = parser.parse_known_args(argv)
    if rest:
        name = rest[0].lstrip("-").split("=")[0].replace("-", "_")
        raise (
            unknown("option on the command line:", name, FIELDS)
            if rest[0].startswith("-")
            else ValueError(f"command line: {rest[0]!r} belongs to no option")
        )
    given = vars(known)
    path = given.pop("config", None)
    return (read_file(Path(path)) if path else {}), given


def read_file(path: Path) -> dict[str, Any]:
    """Knobs from a JSON or YAML file; of a run folder's config.json, its parameters."""
    import yaml

    path = path / "config.json" if path.is_dir() else path  # a run folder
    if not path.is_file():
        raise ValueError(f"--config {path}: no such file")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"--config {path}: neither JSON nor YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected knobs by name, found {type(content).__name__}")
    return content.get("parameters", content)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        description="Trains one trial and writes its run folder. Under NNI, NNI's parameters win.",
    )
    parser.add_argument("--config", metavar="FILE", help="knobs from a JSON or YAML file, or a run's config.json")
    for name, entry in FIELDS.items():
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        many = {"nargs": "+"} if typing.get_origin(TYPES[name]) is tuple else {}
        if TYPES[name] is bool:
            many = {"nargs": "?", "const": "true"}
        parser.add_argument(*spellings, dest=name, help=describe(entry), metavar=name.upper(), **many)
    return parser


def describe(entry: dataclasses.Field) -> str:
    default = " ".join(map(str, entry.default)) if isinstance(entry.default, tuple) else entry.default
    notes = [f"default: {default if default != '' else 'none'}"]
    notes += [f"in {entry.metadata['unit']}"] if entry.metadata["unit"] else []
    notes += [f"or {entry.metadata['environment']} in the environment"] if entry.metadata["environment"] else []
    return f"{entry.metadata['text']} ({'; '.join(notes)})".replace("%", "%%")


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
    if config.lr_decay_step and config.schedule not in ("auto", "step"):
        raise ValueError(f"lr_decay_step {config.lr_decay_step} belongs to --schedule step, not {config.schedule}")
    if config.name != Path(config.name).name or config.name in ("", ".", ".."):
        raise ValueError(f"--name {config.name!r} names a folder under the output root, so it has no / and is not ..")
    if config.micro_batch == 1:
        raise ValueError("micro_batch 1 would leave batch normalisation a lone photo; pass 2 or more, or 0")
    if config.schedule == "step" and not config.lr_decay_step:
        raise ValueError("--schedule step needs --lr_decay_step EPOCHS")
    return config


def restore(path: Path, **changes: Any) -> Config:
    """The Config that a run folder's config.json holds, with `changes`."""
    stored = json.loads(path.read_text())["parameters"]
    return check(Config(**{name: convert(name, value, str(path)) for name, value in (stored | changes).items()}))
