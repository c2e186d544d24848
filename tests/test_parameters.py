"""Right parameters: what a trial trained with is what NNI's page, its database, its tuner and its folder show."""

import pytest
from remote import needs_sshd
from walks import all_ended, brief_search, mismatches, wait


def run(launch, config, folder, trials):
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, trials), 240)
    assert mismatches(experiment, folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [2, 4])
def test_fifty_local_trials_train_with_what_is_shown(launch, tmp_path, concurrency):
    run(launch, brief_search(tmp_path / "search", 50, concurrency), tmp_path / "search", 50)


@pytest.mark.ssh
@needs_sshd
@pytest.mark.parametrize("concurrency", [2, 4])
def test_fifty_trials_on_two_machines_train_with_what_is_shown(launch, tmp_path, boxes, concurrency):
    config = brief_search(tmp_path / "search", 50, concurrency) | {"nniManagerIp": "127.0.0.1"}
    machines = [boxes("one").entry(), boxes("two").entry()]
    config["trainingService"] = {"platform": "remote", "machineList": machines}
    run(launch, config, tmp_path / "search", 50)


@pytest.mark.slow
def test_the_comparison_finds_swapped_parameters(launch, tmp_path):
    folder = tmp_path / "search"
    experiment = launch(brief_search(folder, 2))
    wait(experiment, lambda: all_ended(experiment, 2), 60)
    one, two = sorted((folder / "out").glob("*.json"))
    texts = one.read_text(), two.read_text()
    one.write_text(texts[1])
    two.write_text(texts[0])
    assert len(mismatches(experiment, folder)) == 2
