"""A trial's epochs in Weights & Biases or MLflow too, where --track says so. Both are optional packages.

A tracking service is given a trial by a registered factory `(run_path, parameters, key, project, entity) -> Service`;
`key` names the run folder, so that a trial that goes on finds what it has logged. To add one, decorate a factory with
`@TRACKERS.register("name")`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import Config
from registry import Registry

TRACKERS = Registry("tracker")
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """log(numbers, epoch), summarise(values), and close(succeeded), of one trial in a tracking service."""

    log: Callable[[dict[str, float], int], Any]
    summarise: Callable[[dict[str, Any]], Any]
    close: Callable[[bool], Any]


@dataclass
class Tracker:
    """A service that may fail without costing the trial: it then is left out with a warning."""

    name: str
    service: Service | None
    succeeded: bool = False

    def epoch(self, row: dict[str, Any], number: int) -> None:
        """The numbers of history row `row`, of epoch `number`, from 1."""
        self.tell(lambda service: service.log(numbers_of(row), number))

    def finish(self, summary: dict[str, Any]) -> None:
        """What the trial ended with."""
        self.succeeded = True
        self.tell(lambda service: service.summarise(summary))

    def close(self) -> None:
        """A trial that never came to finish() failed."""
        self.tell(lambda service: service.close(self.succeeded))
        self.service = None

    def tell(self, what: Callable[[Service], Any]) -> None:
        if self.service is None:
            return
        try:
            what(self.service)
        except Exception as error:  # whatever a network brings
            self.service = None
            print(f"warning: {self.name} failed ({reason(error)}); the trial goes on untracked", flush=True)


def open_tracker(config: Config, run_path: Path, parameters: Parameters) -> Tracker:
    """Raises ValueError where the package is missing or the service cannot be begun with."""
    factory = TRACKERS[config.track]
    path = run_path.resolve()
    key = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    try:
        return Tracker(config.track, factory(path, parameters, key, config.track_project, config.track_entity))
    except ImportError as error:
        raise ValueError(f"--track {config.track} needs a package: pip install {config.track} ({error})") from error
    except Exception as error:  # of many kinds, in either package
        raise ValueError(
            f"--track {config.track} cannot begin: {reason(error)}. Without an account or a network, set "
            "WANDB_MODE=offline, or MLFLOW_TRACKING_URI=sqlite:////FOLDER/mlflow.db"
        ) from error


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, (int, float)) and name != "epoch"}


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}".rstrip(".")


@TRACKERS.register("none")
def none(path: Path, parameters: Parameters, key: str, project: str, entity: str) -> None:
    """Tracks nothing."""


@TRACKERS.register("wandb")
def wandb(path: Path, parameters: Parameters, key: str, project: str, entity: str) -> Service:
    """A run of the project; its local files are in the run folder, from where `wandb sync` uploads an offline one."""
    package = importlib.import_module("wandb")
    run = package.init(
        project=project,
        entity=entity or None,
        id=key,
        resume="allow",
        name=f"{path.parent.name}/{path.name}",
        dir=str(path),
        config=parameters,
        settings=package.Settings(console="off"),  # the trial's own lines stay as they are
    )
    return Service(
        log=lambda numbers, epoch: run.log(numbers, step=epoch),
        summarise=run.summary.update,
        close=lambda succeeded: run.finish(exit_code=0 if succeeded else 1),
    )


@TRACKERS.register("mlflow")
def mlflow(path: Path, parameters: Parameters, key: str, project: str, entity: str) -> Service:
    """A run of the experiment `project`, where MLFLOW_TRACKING_URI says, else where MLflow keeps runs by itself."""
    package = importlib.import_module("mlflow")
    experiment = package.set_experiment(project)
    begun = package.MlflowClient().search_runs([experiment.experiment_id], f"tags.run_folder_key = '{key}'")
    if begun:
        package.start_run(run_id=begun[0].info.run_id)
    else:
        package.start_run(run_name=f"{path.parent.name}/{path.name}", tags={"run_folder_key": key})
        package.log_params(parameters)
    return Service(
        log=lambda numbers, epoch: package.log_metrics(numbers, step=epoch),
        summarise=lambda summary: package.log_metrics(
            {f"best/{name}": value for name, value in numbers_of(summary).items()}
        ),
        close=lambda succeeded: package.end_run("FINISHED" if succeeded else "FAILED"),
    )
