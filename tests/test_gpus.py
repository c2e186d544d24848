"""GPU scheduling, with a stand-in for NVML: one GPU, and trials that want one."""

import json
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import nni_node
import psutil
import pytest
from conftest import PROJECT
from released import released_nni
from remote import needs_sshd
from walks import all_ended, brief_search, load_json, wait

ONE_GPU = PROJECT / "tests" / "fixtures" / "one_gpu"
SCHEDULE = """
require("app-module-path").addPath(process.cwd());
require("common/globals").initGlobalsCustom({experimentId: "e", experimentsDirectory: process.argv[1],
    logLevel: "error", pythonInterpreter: "", platform: "local", port: 0, action: "create", foreground: false,
    urlPrefix: "", mode: "", environmentId: "e", managerCommandChannel: ""}, process.argv[1] + "/log");
const {TaskScheduler, UnitTestHelpers} = require("common/trial_keeper/task_scheduler/scheduler");
UnitTestHelpers.mockGpuInfo({gpuNumber: Number(process.argv[2]), gpus: [], processes: []});
(async () => {
    const scheduler = new TaskScheduler();
    await scheduler.init();
    const given = [];
    for (const trial of ["a", "b"]) { given.push(await scheduler.schedule("e", trial, Number(process.argv[3]))); }
    await scheduler.release("e", "a");
    given.push(await scheduler.schedule("e", "c", Number(process.argv[3])));
    console.log(JSON.stringify(given.map(env => env && env.CUDA_VISIBLE_DEVICES)));
    process.exit();
})();
"""


def schedule(node, folder, gpus, wanted):
    """What two trials that want GPUs get, and a third after the first of them has ended."""
    command = [node / "node", "-e", SCHEDULE, folder, str(gpus), str(wanted)]
    said = subprocess.run(command, cwd=node, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(said.stdout.splitlines()[-1])


def test_one_gpu_is_enough_for_a_trial_that_wants_one(tmp_path):
    node = Path(nni_node.__path__[0])
    assert schedule(node, tmp_path, 1, 1) == ["0", None, "0"]
    assert schedule(node, tmp_path, 2, 1) == ["0", "1", "0"]
    assert schedule(node, tmp_path, 2, 2) == ["0,1", None, "0,1"]
    assert schedule(node, tmp_path, 1, 2) == [None, None, None]
    assert schedule(node, tmp_path, 1, 0.5) == ["0", "0", "0"]


def test_as_released_it_never_was(tmp_path):
    assert schedule(released_nni(tmp_path / "released") / "nni_node", tmp_path, 1, 1) == [None, None, None]


@pytest.fixture
def guard():
    """Counts the processes that look at GPUs; ends them all when there are too many."""
    seen, stop = [0], threading.Event()

    def lookers():
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any("collect_gpu_info" in word for word in process.cmdline()):
                    yield process

    def watch():
        while not stop.is_set():
            found = list(lookers())
            seen[0] = max(seen[0], len(found))
            for process in found if len(found) > 20 else []:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.3)

    threading.Thread(target=watch, daemon=True).start()
    yield seen
    stop.set()


def gpu_search(folder, trials):
    return brief_search(folder, trials, concurrency=2) | {"trialGpuNumber": 1}


def check(experiment, folder, trials, guard):
    wait(experiment, lambda: all_ended(experiment, trials), 120)
    assert [trial.status for trial in experiment.trials()] == ["SUCCEEDED"] * trials
    assert [load_json(folder / "out", f"{trial.id}.json")["gpus"] for trial in experiment.trials()] == ["0"] * trials
    assert guard[0] <= 2


@pytest.mark.slow
def test_a_search_with_more_trials_at_once_than_gpus_runs_one_after_the_other(launch, tmp_path, monkeypatch, guard):
    monkeypatch.setenv("PYTHONPATH", str(ONE_GPU))
    config = gpu_search(tmp_path / "search", 4)
    config["trainingService"] = {"platform": "local", "useActiveGpu": True}
    check(launch(config), tmp_path / "search", 4, guard)


@pytest.mark.ssh
@needs_sshd
def test_so_it_does_on_a_machine_with_one_gpu(launch, tmp_path, boxes, guard):
    box = boxes("one", SetEnv=f"HOME={tmp_path}/one/home PYTHONPATH={ONE_GPU}")
    config = gpu_search(tmp_path / "search", 4) | {"nniManagerIp": "127.0.0.1"}
    config["trainingService"] = {"platform": "remote", "machineList": [box.entry(gpuIndices=[0])]}
    check(launch(config), tmp_path / "search", 4, guard)


@pytest.mark.slow
def test_trials_that_want_no_gpu_see_none(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    experiment = launch(brief_search(tmp_path / "search", 1) | {"trialGpuNumber": 0})
    wait(experiment, lambda: all_ended(experiment, 1), 60)
    assert load_json(tmp_path / "search" / "out", f"{experiment.trials()[0].id}.json")["gpus"] == ""
