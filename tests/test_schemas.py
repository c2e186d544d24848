"""Experiment configs in both of NNI's schemas: what is right is read, what is wrong is named with its cure."""

import dataclasses
import re
import warnings
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT
from nni.experiment.config import ExperimentConfig, LocalConfig, RemoteConfig, RemoteMachineConfig, utils
from nni.experiment.config.algorithm import _AlgorithmConfig
from nni.experiment.config.shared_storage import SharedStorageConfig

from settings.oldschema import tree_v1
from settings.schemas import examine, read_config

SPACE = {"lr": {"_type": "uniform", "_value": [0.1, 0.2]}}
V1 = yaml.safe_load((PROJECT / "tests/fixtures/config_v1.yml").read_text())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home with a key in it, which NNI takes where none is named."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").touch()
    (tmp_path / "code").mkdir()
    return tmp_path


def local(**changes):
    """A local v2 config; a field that is changed to ... is left out."""
    config = {
        "searchSpace": SPACE,
        "trialCommand": "python3 train.py",
        "trialCodeDirectory": "code",
        "trialConcurrency": 1,
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
        "trainingService": {"platform": "local"},
    } | changes
    return {name: value for name, value in config.items() if value is not ...}


def remote(*machines, **changes):
    entries = [{"host": "a", "user": "me"} | machine for machine in machines or ({},)]
    service = {"platform": "remote", "machineList": entries}
    return local(nniManagerIp="10.0.0.1", trainingService=service, **changes)


def old(**changes):
    """The v1 fixture with other folders."""
    config = V1 | {"searchSpacePath": "space.json", "trial": {"command": "python3 train.py", "codeDir": "code"}}
    return config | changes


def old_remote(**machine):
    entry = {"ip": "a", "username": "me", "sshKeyPath": "~/.ssh/id_rsa"} | machine
    return old(trainingServicePlatform="remote", nniManagerIp="10.0.0.1", machineList=[entry])


def write(home, config):
    (home / "space.json").write_text('{"lr": {"_type": "uniform", "_value": [0.1, 0.2]}}')
    path = home / "config.yml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
    return path


def complaint(home, config):
    path = write(home, config)
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read_config(path)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["config_local.yml", "tests/fixtures/config_v1.yml"])
def test_the_shipped_local_configs_are_read_with_absolute_paths_and_their_search_space(name):
    config = read_config(PROJECT / name)
    assert config["trialCodeDirectory"] == str(PROJECT / "baseline")
    assert config["searchSpaceFile"] == str(PROJECT / "search_space_local.json")
    assert config["searchSpace"]["batch_size"] == {"_type": "choice", "_value": [16, 32]}
    assert (config["maxTrialNumber"], config["maxExperimentDuration"]) == (6, "30m")
    assert config["trainingService"] == {"platform": "local"}


def test_the_shipped_remote_config_lacks_nothing_but_the_users_key(home):
    with pytest.raises(ValueError, match=r"machineList\[0\].sshKeyFile: there is no key ~/.ssh/id_ed25519; make one"):
        read_config(PROJECT / "config_remote.yml")
    (home / ".ssh" / "id_ed25519").touch()
    config = read_config(PROJECT / "config_remote.yml")
    assert config["trainingService"]["machineList"][0]["sshKeyFile"] == str(home / ".ssh" / "id_ed25519")
    assert ExperimentConfig(**config).training_service.machine_list[0].user == "me"


def test_a_v1_config_of_machines_becomes_a_v2_one(home):
    config = read_config(write(home, old_remote(port=2222, pythonPath="/opt/venv/bin", gpuIndices="0,1")))
    assert config["trainingService"]["machineList"] == [
        {
            "host": "a",
            "port": 2222,
            "user": "me",
            "sshKeyFile": str(home / ".ssh" / "id_rsa"),
            "gpuIndices": "0,1",
            "pythonPath": "/opt/venv/bin",
        }
    ]


def test_spellings_that_nni_takes_become_its_own(home):
    config = local(
        trialConcurrency=..., trial_concurrency=3, TrainingService={"Platform": "local"}, trainingService=...
    )
    read = read_config(write(home, config))
    assert (read["trialConcurrency"], read["trainingService"]) == (3, {"platform": "local"})


def test_an_empty_field_is_one_that_is_not_there(home):
    assert "maxTrialNumber" not in read_config(write(home, local(maxTrialNumber=None, experimentName=None)))


def all_fields():
    """Each field of v2: the block it stands in, and its name."""
    for block, kind in {
        "": ExperimentConfig,
        "tuner": _AlgorithmConfig,
        "assessor": _AlgorithmConfig,
        "advisor": _AlgorithmConfig,
        "sharedStorage": SharedStorageConfig,
        "trainingService": LocalConfig,
        "trainingService ": RemoteConfig,
        "trainingService.machineList[0]": RemoteMachineConfig,
    }.items():
        for field in dataclasses.fields(kind):
            yield block, utils.camel_case(field.name)


@pytest.mark.parametrize(("block", "name"), list(all_fields()))
def test_every_misspelt_field_of_v2_is_named_with_its_place_and_the_right_one(block, name, home):
    misspelt = name[:-1] + name[-1] * 2 + "z"
    config = remote() if block in ("trainingService ", "trainingService.machineList[0]") else local()
    inner = config
    for part in filter(None, block.strip().replace("[0]", "").split(".")):
        inner = inner.setdefault(part, {})
        inner = inner[0] if isinstance(inner, list) else inner
    inner[misspelt] = inner.pop(name, None)
    if name == "platform":  # by which the fields beside it are known
        inner[name] = "remote" if block.endswith(" ") else "local"
    words = complaint(home, config)
    place = f"{block.strip()}.{misspelt}".lstrip(".")
    assert f"{place}: unknown field {misspelt!r}. Did you mean {name!r}? Known: " in words, words


@pytest.mark.parametrize("platform", ["local", "remote"])
def test_every_misspelt_field_of_v1_is_named_with_its_place_and_the_right_one(platform, home):
    def walk(tree, where=()):
        for name, inside in tree.items():
            yield (*where, name)
            if inside:
                yield from walk(inside[0] if isinstance(inside, list) else inside, (*where, name))

    places = [place for place in walk(tree_v1(platform)) if place != ("trainingServicePlatform",)]
    assert len(places) > 40
    for *blocks, name in places:
        misspelt = name[:-1] + name[-1] * 2 + "z"
        inner = config = {"trainingServicePlatform": platform}
        for block in blocks:
            inner[block] = {}
            inner = inner[block]
        if blocks == ["machineList"]:
            config["machineList"] = [inner]
        inner[misspelt] = 1
        words = complaint(home, config)
        where = ".".join(block + "[0]" * (block == "machineList") for block in [*blocks, misspelt])
        assert f"{where}: unknown field {misspelt!r}. Did you mean {name!r}? Known: " in words, words


def test_the_fields_of_v1_are_those_that_nnis_conversion_knows():
    tree = tree_v1("remote")
    assert {"ip", "port", "username", "passwd", "sshKeyPath", "passphrase", "pythonPath"} <= set(tree["machineList"][0])
    assert {"command", "codeDir", "gpuNum"} <= set(tree["trial"])
    assert set(tree_v1("local")["localConfig"]) == {"gpuIndices", "maxTrialNumPerGpu", "useActiveGpu"}
    assert "builtinTunerName" in tree["tuner"]


def test_all_wrong_fields_are_told_at_once(home):
    first, second = complaint(home, local(tuner={"nam": "TPE"}, trialConcurency=2)).splitlines()
    assert "tuner.nam: unknown field" in first
    assert "trialConcurency: unknown field" in second


MISTAKES = {
    "a v1 name in v2": (local(maxTrialNum=3), ["maxTrialNum: unknown field", "Did you mean 'maxTrialNumber'?"]),
    "a v2 name in v1": (old_remote(host="b"), ["machineList[0].host: unknown field", "Did you mean 'ip'?"]),
    "a field of another block": (
        local(useActiveGpu=True),
        ["useActiveGpu: unknown field", "useActiveGpu belongs to trainingService of platform local"],
    ),
    "an ssh key misspelt": (
        remote({"sshkey": "~/x"}),
        ["trainingService.machineList[0].sshkey: unknown field 'sshkey'. Did you mean 'sshKeyFile'?"],
    ),
    "two spellings": (local(trial_concurrency=2), ["trial_concurrency: trialConcurrency is given twice"]),
    "no trials at once": (local(trialConcurrency=-1), ["trialConcurrency: is -1; write a whole number from 1 on"]),
    "a number in quotes": (local(trialConcurrency="2"), ["'2' is text; write a whole number, without quotes"]),
    "true for a number": (local(trialConcurrency=True), ["trialConcurrency: True is true or false; write a whole"]),
    "a name that is a number": (local(experimentName=2026), ["experimentName: 2026 is a whole number", '"2026"']),
    "an empty number": (local(trialConcurrency=None), ["trialConcurrency: is empty; write a whole number"]),
    "a bad duration": (local(maxExperimentDuration="10x"), ["'10x' is no duration; write a number", "30m, 12h"]),
    "a duration without number": (local(maxTrialDuration="h"), ["maxTrialDuration: 'h' is no duration"]),
    "a duration of nothing": (local(maxExperimentDuration="0m"), ["'0m' is no duration"]),
    "an unknown log level": (local(logLevel="loud"), ["logLevel: is 'loud'; write one of fatal, error"]),
    "another experiment type": (local(experimentType="nas"), ["experimentType: 'nas' is text; write hpo"]),
    "a block that is a word": (local(tuner="TPE"), ["tuner: is 'TPE'; write fields below it: ", "name"]),
    "machines that are no list": (
        local(trainingService={"platform": "remote", "machineList": {"host": "a"}}),
        ["trainingService.machineList: is {'host': 'a'}; write a list below it, each entry beginning with `- `"],
    ),
    "a port out of range": (remote({"port": 99999}), ["machineList[0].port: is 99999; write a port from 1 to 65535"]),
    "a machine without user": (
        local(trainingService={"platform": "remote", "machineList": [{"host": "a"}]}),
        ["trainingService.machineList[0].user: is missing; write user: text"],
    ),
    "no machines": (local(trainingService={"platform": "remote"}), ["trainingService.machineList: is missing"]),
    "an empty list of machines": (
        local(nniManagerIp="x", trainingService={"platform": "remote", "machineList": []}),
        ["trainingService.machineList: is empty; list at least one machine"],
    ),
    "a machine twice": (
        remote({}, {"host": "b"}, {"port": 22}),
        ["machineList[2]: lists me@a:22 again, after machineList[0]; take one out"],
    ),
    "a relative key": (remote({"sshKeyFile": "keys/id"}), ["sshKeyFile: keys/id is relative; write it absolute, or"]),
    "a missing key": (
        remote({"sshKeyFile": "~/.ssh/id_new"}),
        ["sshKeyFile: there is no key ~/.ssh/id_new; make one with ssh-keygen -t ed25519 -f ~/.ssh/id_new"],
    ),
    "python for its folder": (
        remote({"pythonPath": "/opt/venv/bin/python3.11"}),
        ["pythonPath: /opt/venv/bin/python3.11 is python itself", "write the folder that holds it: /opt/venv/bin"],
    ),
    "a relative python folder": (remote({"pythonPath": "~/bin"}), ["pythonPath: ~/bin is not absolute"]),
    "no address to report to": (
        local(trainingService={"platform": "remote", "machineList": [{"host": "a", "user": "b"}]}),
        ["nniManagerIp: is missing, so the machines would report to themselves; write this computer's address"],
    ),
    "GPU numbers twice": (remote({"gpuIndices": [0, 0]}), ["machineList[0].gpuIndices: is [0, 0]; write GPU numbers"]),
    "GPU numbers that are words": (remote({"gpuIndices": "a"}), ["gpuIndices: is 'a'; write GPU numbers"]),
    "sharing GPUs that are not asked for": (
        remote({"maxTrialNumberPerGpu": 2}),
        ["machineList[0].maxTrialNumberPerGpu: is 2, but trialGpuNumber is not set"],
    ),
    "GPUs here without useActiveGpu": (local(trialGpuNumber=1), ["trainingService.useActiveGpu: is missing"]),
    "reuse here": (
        local(trainingService={"platform": "local", "reuseMode": True}),
        ["trainingService.reuseMode: is true, with which a local search ends in ERROR; take it out"],
    ),
    "an unknown platform": (
        local(trainingService={"platform": "lokal"}),
        ["trainingService.platform: unknown platform 'lokal'. Did you mean 'local'?"],
    ),
    "no platform": (local(trainingService={}), ["trainingService.platform: is missing; Podium searches on local or"]),
    "no training service": (local(trainingService=...), ["trainingService: is missing; write trainingService:"]),
    "several training services": (
        local(trainingService=[{"platform": "local"}]),
        ["trainingService: is no block of fields; Podium runs one training service"],
    ),
    "no command": (local(trialCommand=...), ["trialCommand: is missing"]),
    "two commands": (
        local(trainingService={"platform": "local", "trialCommand": "other"}),
        ["trainingService.trialCommand: is 'other', but 'python3 train.py' at the top; take one out"],
    ),
    "no search space": (local(searchSpace=...), ["searchSpace: is missing, and searchSpaceFile; write one of the two"]),
    "two search spaces": (local(searchSpaceFile="space.json"), ["searchSpace: stands beside searchSpaceFile"]),
    "a search space that is not there": (
        local(searchSpace=..., searchSpaceFile="nowhere.json"),
        ["searchSpaceFile: ", "nowhere.json: there is no such file"],
    ),
    "annotation": (local(useAnnotation=True), ["useAnnotation: is no longer supported by NNI; take it out"]),
    "no tuner": (local(tuner=...), ["tuner: is missing; write tuner: with name: TPE below it"]),
    "an unknown tuner": (local(tuner={"name": "TPEE"}), ["tuner.name: unknown tuner 'TPEE'. Did you mean 'TPE'?"]),
    "a broken tuner": (local(tuner={"name": "Hyperband"}), ["Hyperband does not work: it ends in '<='", "take one of"]),
    "another broken tuner by its other name": (local(tuner={"name": "GPTuner"}), ["tuner.name: GP does not work"]),
    "a broken advisor": (local(tuner=..., advisor={"name": "BOHB"}), ["BOHB does not work"]),
    "an advisor beside a tuner": (local(advisor={"name": "TPE"}), ["advisor: stands beside tuner; take one out"]),
    "a tuner by name and class": (
        local(tuner={"name": "TPE", "className": "a.B"}),
        ["has both a name and a className"],
    ),
    "a tuner by neither": (local(tuner={"classArgs": {}}), ["tuner: has neither a name nor a className; write name:"]),
    "an own tuner without folder": (local(tuner={"className": "a.B"}), ["tuner.codeDirectory: is missing; write the"]),
    "an own tuner without module": (
        local(tuner={"className": "B", "codeDirectory": "code"}),
        ["tuner.className: B names no module; write module.B"],
    ),
    "an unknown assessor": (local(assessor={"name": "Medianstopp"}), ["assessor.name: unknown assessor 'Medianstopp'"]),
    "code that is nowhere": (local(trialCodeDirectory="nowhere"), ["NNI refuses it: ", 'nowhere" is not a directory']),
    "v1 negative": (old(trialConcurrency=-1), ["trialConcurrency: is -1; write a whole number from 1 on"]),
    "v1 duration": (old(maxExecDuration="10x"), ["maxExecDuration: '10x' is no duration"]),
    "v1 port": (old_remote(port=99999), ["machineList[0].port: is 99999; write a port"]),
    "v1 key": (old_remote(sshKeyPath="keys/id"), ["machineList[0].sshKeyPath: keys/id is relative"]),
    "v1 tuner": (old(tuner={"builtinTunerName": "TPEE"}), ["tuner.builtinTunerName: unknown tuner 'TPEE'"]),
    "v1 own tuner": (old(tuner={"className": "A"}), ["tuner: codeDir, classFileName missing; name builtinTunerName"]),
    "v1 own tuner's file": (
        old(tuner={"className": "A", "codeDir": "code", "classFileName": "a"}),
        ["tuner.classFileName: is 'a'; name a file that ends in .py"],
    ),
    "v1 passphrase": (
        old_remote(passphrase="x"),
        ["machineList[0].passphrase: crashes NNI's conversion", "write the v2 schema, where it is sshPassphrase"],
    ),
    "v1 what the conversion loses": (old(maxTrialDuration="1h"), ["maxTrialDuration: NNI loses it"]),
    "v1 without machines": (old(trainingServicePlatform="remote"), ["machineList: is missing; list at least one"]),
    "v1 with the other platform's block": (old_remote() | {"localConfig": {}}, ["localConfig: unknown field"]),
    "v1 platform": (old(trainingServicePlatform="pai"), ["trainingServicePlatform: unknown platform 'pai'"]),
    "v1 without platform": (
        {k: v for k, v in old().items() if k != "trainingServicePlatform"},
        ["trainingServicePlatform: is missing; Podium searches on local or remote"],
    ),
    "v1 command": (old(trial={"codeDir": "code"}), ["trial.command: is missing"]),
    "v1 reuse": (
        old_remote() | {"remoteConfig": {"reuse": 1}},
        ["remoteConfig.reuse: 1 is a whole number; write true or false"],
    ),
    "no fields": ("just words", ["holds 'just words' and no fields; write them as name: value"]),
    "an empty file": ("", ["holds None and no fields"]),
    "broken YAML": ("trialConcurrency: 2\ntuner: {name: TPE\nx: 1\n", ["line 3 column 2: ", "mend the YAML there"]),
    "a tab": ("tuner:\n\tname: TPE\n", ["line 2 column 1: "]),
    "a field twice": ("trialConcurrency: 1\ntrialConcurrency: 2\n", ["line 2 column 1: 'trialConcurrency' is written"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_cure(mistake, home):
    config, words = MISTAKES[mistake]
    said = complaint(home, config)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"lr": [1,\n }', "line 2 column 2: Expecting value; mend the JSON there"),
        ('{"lr": 1, "lr": 2}', "'lr' is written twice in one object"),
    ],
)
def test_a_broken_search_space_is_named_with_line_and_column(text, words, home):
    path = write(home, local(searchSpace=..., searchSpaceFile="space.json"))
    (home / "space.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_config(path)
    assert f"{path}: searchSpaceFile: " in str(error.value)


def test_a_missing_config_is_told():
    with pytest.raises(ValueError, match=r"nowhere.yml: there is no such file; check its name"):
        read_config(Path("nowhere.yml"))


def test_a_password_is_a_warning_of_ours_and_none_of_pythons(home):
    path = write(home, remote({"password": "secret"}))
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        config, findings = examine(path)
    assert leaked == []
    assert [str(finding) for finding in findings] == [
        f"warn config, {path}: trainingService.machineList[0].password: NNI shows it to whoever opens its page; "
        "use a key: sshKeyFile"
    ]
    assert read_config(path) == config


def test_a_pinned_tuner_is_refused_only_where_its_libraries_are_too_new(home, monkeypatch):
    monkeypatch.setattr("settings.algorithms.installed_version", {"numpy": "2.4.1", "scipy": "1.9"}.get)
    words = complaint(home, local(tuner={"name": "Anneal"}))
    assert "tuner.name: Anneal needs numpy < 2.4, and 2.4.1 is installed; take one of" in words
    monkeypatch.setattr("settings.algorithms.installed_version", {"numpy": "2.3.9", "scipy": "1.17"}.get)
    assert read_config(write(home, local(tuner={"name": "anneal"})))["tuner"]["name"] == "anneal"


def test_nni_reads_what_we_read(home):
    """The canonical config is one that NNI takes, and it is taken for the same."""
    path = write(home, remote({"port": 2200, "pythonPath": "/opt/bin"}, maxExperimentDuration="90m", trialGpuNumber=1))
    ours, theirs = ExperimentConfig(**read_config(path)).json(), ExperimentConfig.load(path).json()
    assert ours == theirs
