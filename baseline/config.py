"""Every knob of a trial, once: its default, help and unit.

Values are taken in this order, the later one winning (sources.py):
defaults < environment < run folder of --resume, --from or --continue_run < --config FILE < command line < NNI.
To add a knob, add a field; every registered factory that names it as an argument receives it.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

from knob import knob


@dataclass(frozen=True)
class Config:
    # data
    data_dir: str = knob("", "data root, its train folder or train/images", environment="SM_CHANNEL_TRAIN")
    dataset: str = knob("auto", "how the data root is laid out; auto recognises it")
    classification: str = knob(
        "multi",
        "what is predicted: multi (18 classes), heads (mask, gender and age from one trunk, their product the 18), "
        "mask 3, gender 2, age 3",
        choices=("multi", "heads", "mask", "gender", "age"),
    )
    age_boundaries: tuple[int, ...] = knob(
        (30, 60), "first age of the middle and of the oldest class", unit="years", low=1, high=150, length=2
    )
    channels: str = knob("rgby", "proteins: which of red, green, blue and yellow the model sees; rgb leaves yellow out")
    classes: int = knob(0, "proteins: number of classes; 0 takes one more than the largest number in Target", low=0)
    external: str = knob("", "proteins: folder of further samples, laid out alike, that train and never validate")
    notes_dir: str = knob("", "folder of groups.csv and corrections.csv; the data root when empty")
    groups: str = knob(
        "auto",
        "CSV path,group of photos that are kept on one side of the split, beside what the layout says; auto takes "
        "groups.csv of notes_dir where there is one, none leaves it",
    )
    corrections: str = knob(
        "auto",
        "CSV path,person,field,value,note of labels to mend; auto takes corrections.csv of notes_dir where there is "
        "one, none trains on the labels as they came",
    )
    skip_unreadable: bool = knob(False, "go on without the training photos that cannot be read")
    crop: int = knob(
        -1,
        "side of the centre crop, at most the photo's own sides; 0 keeps the whole photo, -1 takes what suits the "
        "layout: 350 for faces, else 0",
        unit="pixels",
        low=-1,
    )
    resize: tuple[int, ...] = knob(
        (224, 224), "height and width that the model sees; one number for a square", unit="pixels", low=8, length=2
    )
    mean: tuple[float, ...] = knob(
        (),
        "subtracted per channel; none takes what suits the layout: the competition's for faces, else ImageNet's",
        unit="share of full brightness",
    )
    std: tuple[float, ...] = knob(
        (), "divided by per channel; none as for mean", unit="share of full brightness", low=0, strict=True
    )
    normalisation: str = knob(
        "channels",
        "channels: by mean and std; photo: each photo by its own mean and standard deviation of each channel",
        choices=("channels", "photo"),
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
    folds: int = knob(0, "number of folds; 0 takes as many as val_ratio makes", low=0, high=20)
    fold: str = knob("0", "which fold validates, from 0; all trains one model for each, in one run folder")
    test_val: bool = knob(
        False,
        "keep half a fold's share of the people out of training and validation, for inference.py --split test_val",
    )
    fold_file: str = knob("", "CSV of id,fold to take the folds from, as `python baseline/folds.py` writes it")
    split_seed: int = knob(42, "seed of the folds, apart from --seed so that trials share their folds")
    photo_holdout: float = knob(
        0.0,
        "share of the training people's photos kept out and scored apart, to show what a split by photo would claim",
        low=0,
        high=0.5,
    )
    # model
    model: str = knob(
        "Efficientnet_b0",
        "Efficientnet_b0..b7, a torchvision classifier, timm/NAME, or FILE.py:CLASS, a module of your own (custom.py)",
    )
    attention: bool = knob(
        False, "weigh the positions of the class map by an attention map, in place of the mean over the photo"
    )
    pretrained: bool = knob(True, "start from ImageNet weights")
    weights: str = knob("", "local file of weights to start from, instead of fetching (.safetensors, .pt, .pth)")
    # training
    seed: int = knob(42, "seed of weights, order and augmentation", low=0)
    seeds: int = knob(
        1,
        "train that many trials, with seed, seed + 1 …, a run folder each, and print mean and standard deviation of "
        "each metric; with --resume auto those that have ended are not trained again",
        unit="trials",
        low=1,
        high=1000,
    )
    epochs: int = knob(30, "passes over the training photos", unit="epochs", low=1)
    max_trial_minutes: float = knob(
        0.0,
        "end in order after an epoch, at the earliest the first, where one more, as long as the longest so far, would "
        "pass this, all attempts counted; test photos are predicted after it. Schedules and averages go by --epochs "
        "all the same. With --fold all each fold has an equal share; 0 is no bound",
        unit="minutes",
        low=0,
    )
    batch_size: int = knob(64, "photos a training step, times --accumulation", unit="photos", low=1)
    accumulation: int = knob(
        1,
        "batches whose gradients a training step adds up: batch_size photos pass the model at once, as if "
        "--micro_batch, of which the smaller counts, were batch_size",
        unit="batches",
        low=1,
    )
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
    valid_batch_size: int = knob(256, "photos a prediction step, each view counted", unit="photos", low=1)
    augmentation: str = knob(
        "BaseAugmentation",
        "how training photos are varied: none, or of crop, flip, dihedral (one of the square's 8 symmetries), affine, "
        "jitter, noise, blur, erasing, randaugment, trivialaugment, policy:FILE (JSON) and policy:random:N those "
        "wanted, joined with +; or Base-, Flip-, Gaussian- (jitter+noise) or AffineAugmentation (affine+jitter+noise)",
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
        "jitter: largest change of brightness, contrast, saturation and, of 3 channels, hue",
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
    randaugment_ops: int = knob(2, "randaugment: how many operations a photo gets", unit="operations", low=1, high=14)
    randaugment_magnitude: int = knob(
        9, "randaugment: how strong its operations are, of 31 steps from 0", unit="steps", low=0, high=30
    )
    mixup: float = knob(0.0, "alpha of mixup's Beta distribution of shares; 0 mixes none", low=0)
    cutmix: float = knob(0.0, "alpha of cutmix's Beta distribution of areas; 0 mixes none", low=0)
    criterion: str = knob(
        "cross_entropy",
        "loss: cross_entropy, focal, label_smoothing, f1 or bce; where several labels hold at once, each class by "
        "itself",
    )
    head_weights: tuple[float, ...] = knob(
        (1.0, 1.0, 1.0), "classification heads: how much the losses of mask, gender and age count", low=0, length=3
    )
    focal_gamma: float = knob(2.0, "how strongly focal plays down easy photos", low=0)
    smoothing: float = knob(0.01, "share of label_smoothing's target that the other classes get", low=0, high=0.5)
    class_weights: str = knob(
        "none", "balanced weighs each class by 1 / its training share", choices=("none", "balanced")
    )
    optimizer: str = knob("Adam", "an optimizer of torch.optim, but LBFGS, SparseAdam and Muon")
    lr: float = knob(0.001, "peak learning rate", low=0, strict=True)
    momentum: float = knob(0.9, "for optimizers that have it", low=0, high=1)
    nesterov: bool = knob(False, "SGD: momentum as Nesterov has it")
    weight_decay: float = knob(5e-5, "pull of the weights towards 0", low=0)
    schedule: str = knob(
        "auto",
        "learning rate over time: constant, step, drops, exponential (a drop each epoch), plateau, cosine; auto is "
        "step if lr_decay_step is given, else drops",
    )
    lr_decay: float = knob(0.1, "factor of each drop of the learning rate", low=0, high=1, strict=True)
    lr_decay_step: int = knob(0, "step: epochs between drops", unit="epochs", low=0)
    lr_drops: tuple[float, ...] = knob((10.0, 20.0, 25.0), "drops: after which epochs", unit="epochs", low=0)
    plateau_patience: int = knob(
        10,
        "plateau: how many epochs in a row may be no better than the best before, by a ten-thousandth of it; the next "
        "drops the learning rate",
        unit="epochs",
        low=0,
    )
    warmup_epochs: float = knob(1.0, "cosine: linear rise to the peak", unit="epochs", low=0)
    averaging: str = knob(
        "none",
        "weights that validate, are kept and predict: none, those in training; ema, their exponential moving average; "
        "swa, the mean of those at the end of each of the last swa_last epochs, whose batch-norm statistics are taken "
        "anew from at most 4096 training photos without augmentation",
        choices=("none", "ema", "swa"),
    )
    ema_decay: float = knob(
        0.999, "ema: share that the average keeps at each step; after t steps at most (1 + t) / (10 + t)", low=0, high=1
    )
    swa_last: int = knob(10, "swa: epochs that are averaged; all, where there are fewer", unit="epochs", low=1)
    # report
    views: str = knob(
        "plain",
        "how validation and test photos are looked at, the mean of: plain, the photo; flip, and its mirror image; "
        "dihedral4, mirrored both ways; dihedral8, rows and columns exchanged too",
    )
    metric: str = knob("accuracy", "the objective that NNI maximises and best.pt is chosen by: accuracy or macro_f1")
    track: str = knob(
        "none", "where epochs are logged too, an optional package: wandb or mlflow", choices=("none", "wandb", "mlflow")
    )
    track_project: str = knob("podium", "wandb's project, mlflow's experiment")
    track_entity: str = knob("", "wandb's team or user")
    log_interval: int = knob(20, "training steps between progress lines", unit="steps", low=1)
    name: str = knob("exp", "experiment folder of a single trial under the output root")
    model_dir: str = knob("", "output root; outputs/ beside baseline/ when empty", environment="SM_MODEL_DIR")
    device: str = knob("auto", "auto takes the GPU where there is one", choices=("auto", "cpu", "cuda"))
    processes: int = knob(
        0, "processes that share each batch, one per GPU; 0 makes one for each GPU that NNI gave the trial", low=0
    )
    threads: int = knob(0, "CPU threads of this trial, and its processes that decode photos; 0 takes all cores", low=0)
    repeat_of: str = knob(
        "",
        "run folder whose trial is repeated in a new one: its parameters, what auto came to in it, and data of the "
        "same fingerprint, which --data_dir may have elsewhere; other options override. To the digit on a CPU of the "
        "same kind with the same --threads; where max_trial_minutes ended it, after as many epochs as fit this time",
        option="from",
    )
    continue_run: str = knob(
        "",
        "run folder whose trial goes on in a new one after its last epoch, up to --epochs in all, with its parameters, "
        "optimizer, average and random state; it is left as it is (search/promote.py). Only --epochs, the learning "
        "rate and its schedule may be others: constant, drops, step, exponential and plateau go on as if so many "
        "epochs had always been planned; cosine is where that plan has it, mostly higher again; swa begins anew with "
        "the last swa_last epochs, where all of them are new. HOST:FOLDER says on which machine it lies",
    )
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
    *("data_dir", "notes_dir", "model_dir", "cache_dir", "cache_gib", "name", "device", "processes", "threads"),
    *("log_interval", "resume", "repeat_of", "seeds", "track", "track_project", "track_entity"),
}
ASKED = ("resume", "repeat_of", "seeds")  # of these PLACES, what is asked of a single call: no trial has it
SETTLED = ("precision", "compile")  # knobs that a trial measures, and keeps in summary.json
FIELDS = {entry.name: entry for entry in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)
