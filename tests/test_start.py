"""What a trial imports on its way to its first training step; benchmarks/start.py measures the seconds."""

import subprocess
import sys

from conftest import PROJECT

TRAIN = PROJECT / "baseline" / "train.py"
LATER = {"pandas", "tensorboard", "torch.utils.tensorboard", "yaml", "safetensors"}  # some only if asked for
ELSEWHERE = {"torchvision", "timm", "nni", "sklearn", "scipy", "kornia", "matplotlib", "rich"}
# ends the trial where it tells of its first step, and tells what it has imported instead
PROBE = """
import builtins, os, runpy, sys

def tell(*words, **options):
    if " step 1/" in " ".join(map(str, words)):
        sys.stdout.write(" ".join(sys.modules))
        sys.stdout.flush()
        os._exit(0)

builtins.print = tell
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def imported(drawn, quick, *words):
    """The names of all modules that a trial has imported when its first step is done."""
    command = [sys.executable, "-c", PROBE, TRAIN, "--data_dir", drawn, *quick, "--log_interval", "1", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_first_step_waits_for_no_import_that_it_does_not_need(drawn, quick):
    names = imported(drawn, quick, "--model", "Efficientnet_b0")
    assert "efficientnet_pytorch" in names
    assert names & (LATER | ELSEWHERE) == set()


def test_a_library_that_a_model_comes_from_is_seen_to_be_imported(drawn, quick):
    assert imported(drawn, quick, "--model", "squeezenet1_1") & (LATER | ELSEWHERE) == {"torchvision"}
