"""What inference.py is asked for: which run folder, which photos, and where to write.

`inference.py RUN [--data_dir DIR]` adds soft.csv and hard.csv to a trial that was stopped before its end.
`inference.py --config FILE --num_tta 8 --output FILE --split test` writes the probabilities to a file instead; with
--split test_val those of the labelled photos that no fold trains on, in the form of val_soft.csv, or where several
labels hold at once L00..,P00.. .
`SM_CHANNEL_EVAL=DATA SM_CHANNEL_MODEL=DIR SM_OUTPUT_DATA_DIR=DIR NAME=resnet18 inference.py` writes the answers to
output.csv there: of the newest run of that model, where SM_CHANNEL_MODEL is not itself a run folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import FIELDS, PLACES
from lookup import newest, with_parameters
from sources import add_knobs, from_environment, merge, output_root, read_file
from views import VIEWS

NUM_TTA = {1: "plain", 2: "flip", 4: "dihedral4", 8: "dihedral8"}
# knobs of a prediction; the others are the trial's own
PREDICTING = {"data_dir", "notes_dir", "device", "cache_dir", "cache_gib", "threads", "valid_batch_size", "views"}


@dataclass(frozen=True)
class Order:
    """What to predict, from which run folder, and where to write it."""

    path: Path
    split: str = "test"
    output: Path | None = None  # of probabilities; where there is neither, the run folder gets soft.csv and hard.csv
    answers: Path | None = None
    checkpoint: Path | None = None  # weights, where they are not best.pt
    evaluated: Path | None = None  # SM_CHANNEL_EVAL
    changes: dict[str, Any] = field(default_factory=dict)  # knobs that differ from the trial's


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inference.py",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
    )
    parser.add_argument("run", type=Path, nargs="?", default=None, help="run folder, outputs/EXPERIMENT/TRIAL")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="take the newest run trained with this file, and the same options"
    )
    parser.add_argument(
        "--split", choices=("test", "test_val"), help="test_val: labelled photos that no fold trains on"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write probabilities, not the run folder")
    parser.add_argument("--num_tta", "--num-tta", type=int, choices=tuple(NUM_TTA), help="views of each photo")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights, where they are not best.pt")
    texts = dict.fromkeys(FIELDS.keys() - PREDICTING, argparse.SUPPRESS)
    add_knobs(parser, texts | {"data_dir": "data root, where it is not the trial's (or SM_CHANNEL_EVAL)"})
    return parser


def understand(argv: list[str], environment: dict[str, str]) -> Order:
    """Raises ValueError where it is not clear what is to be predicted."""
    given = vars(argument_parser().parse_args(argv))
    own = {name: given.pop(name, None) for name in ("run", "config", "split", "output", "num_tta", "checkpoint")}
    split, answers = own["split"] or "test", None
    if own["num_tta"]:
        views = NUM_TTA[own["num_tta"]]
        if given.get("views", views) != views:
            raise ValueError(f"--num_tta {own['num_tta']} is --views {views}, not {given['views']}; give one of them")
        given["views"] = views
    if "views" in given:
        VIEWS[given["views"]]  # an unknown one is told before anything is read
    if split == "test_val" and not own["output"]:
        raise ValueError("--split test_val needs --output FILE")
    if split == "test" and not own["output"] and environment.get("SM_OUTPUT_DATA_DIR"):
        answers = Path(environment["SM_OUTPUT_DATA_DIR"]).expanduser() / "output.csv"
    evaluated = environment.get("SM_CHANNEL_EVAL") if "data_dir" not in given else None
    return Order(
        path=find_run(own["run"], own["config"], given, environment),
        split=split,
        output=own["output"] and own["output"].expanduser(),
        answers=answers,
        checkpoint=own["checkpoint"] and own["checkpoint"].expanduser(),
        evaluated=Path(evaluated).expanduser() if evaluated else None,
        changes={name: value for name, value in given.items() if name in PREDICTING},
    )


def find_run(run: Path | None, file: Path | None, given: dict[str, Any], environment: dict[str, str]) -> Path:
    """The run folder `run`, or that of the knobs in `file` and `given`, or SM_CHANNEL_MODEL's. Raises ValueError."""
    if run and file:
        raise ValueError(f"both a run folder ({run}) and --config {file} are given; give one of them")
    if file:
        sources = {"environment": from_environment(environment), "config file": read_file(file), "command line": given}
        wanted, _ = merge(sources)
        path = with_parameters(output_root(wanted), wanted, PLACES | PREDICTING)
    elif own := given.keys() - PREDICTING:
        raise ValueError(f"--{min(own)} is the trial's own; it goes with --config FILE, to find the trial by")
    elif run:
        return run.expanduser()
    elif model_dir := environment.get("SM_CHANNEL_MODEL"):
        path = newest(Path(model_dir).expanduser(), environment.get("NAME", ""))
    else:
        raise ValueError("which run folder? Name it, or pass --config FILE, or set SM_CHANNEL_MODEL")
    print(f"run folder: {path}", flush=True)
    return path
