#!/usr/bin/env bash
# From labelled photos to a submission: varied trials, a fitted blend, its checks, the table and the page.
#   benchmarks/mask18.sh DATA [SUBMISSION]     about an hour on 2 cores; finished trials are not trained again
set -euo pipefail
data=$(realpath "${1:?usage: benchmarks/mask18.sh DATA [SUBMISSION]}")
submission=$(realpath -m "${2:-submission.csv}")
cd "$(dirname "$0")/.."
python=.venv/bin/python
$python benchmarks/mask18.py "$data"
$python ensemble/soft_vote.py outputs/mask18 --fit -o "$submission"
$python ensemble/check.py "$submission" --like "$data/eval/info.csv" --run "$(ls -dt outputs/mask18/blend-* | head -1)"
$python ensemble/leaderboard.py outputs/mask18 -o outputs/mask18/leaderboard.md
$python ensemble/report.py outputs/mask18
