#!/usr/bin/env bash
# From a set of labelled photos to the submission for its test photos, whose answers are withheld.
#   benchmarks/withheld.sh SET SUBMISSION     SET is a data root that benchmarks/sets.py knows; some minutes on 2 cores
set -euo pipefail
data=$(realpath "${1:?usage: benchmarks/withheld.sh SET SUBMISSION}")
submission=$(realpath -m "${2:?usage: benchmarks/withheld.sh SET SUBMISSION}")
cd "$(dirname "$0")/.."
python=.venv/bin/python
$python benchmarks/sets.py "$data" --submitted
$python ensemble/soft_vote.py "outputs/$(basename "$data")" -o "$submission"
