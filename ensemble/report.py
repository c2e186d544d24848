"""One page about an experiment, to read in the morning: what to submit, how sure that is, and what went wrong where.

    python ensemble/report.py outputs/EXPERIMENT

The page needs no network: plotly.js (4.8 MB) and the photos stand in it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from members import WHOLE, Member, find_members
from metrics import METRICS
from panels import hang, show_blend, show_classes, show_curves, show_knobs, tabulate
from progress import Progress, duration
from run import atomic
from sheet import check_target
from standings import Section, Standing, has_rule, is_fitted, measure, plan_of, rank, ranking_metric, sections_of

FAILED_SHOWN = 20
SINGLE, RECOMBINED = "best single trial", "recombination of the best mask, gender and age trials"
USUAL = {"mean": "probability", "recombine": "product"}  # of soft_vote.py


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        report(given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="a folder of run folders, outputs/EXPERIMENT")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="(default: report.html in that folder)")
    parser.add_argument("--metric", help=f"{', '.join(METRICS.entries)}; default: what the trials maximised")
    parser.add_argument("--data_dir", type=Path, metavar="DIR", help="of the photos, where they were moved")
    return parser.parse_args(argv)


def report(given: argparse.Namespace) -> None:
    """Reads everything, then writes the page. Raises ValueError."""
    members = find_members([given.experiment], with_blends=True)
    metric, notes = ranking_metric(given.metric, members)
    target = given.output or given.experiment / "report.html"
    check_target(target)
    print(f"reading {len(members)} run folders of {given.experiment}", flush=True)
    page = render(tell(given.experiment, members, metric, given.data_dir) | {"notes": notes})
    atomic(target, lambda file: file.write_text(page, encoding="utf-8"))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; open it in a browser")


def tell(experiment: Path, members: Sequence[Member], metric: str, data_dir: Path | None) -> dict[str, Any]:
    """What the page says, by the names of its template. Raises ValueError where no trial has predictions."""
    standings = measure_all(members)
    sections = [section for section in sections_of(standings, metric) if scored(section)]
    lost = lost_ones(standings, sections, metric)
    if not sections:
        reasons = "; ".join(f"{name}: {problem}" for name, _, problem in lost[:3])
        raise ValueError(f"{experiment}: no trial has validation predictions, as none has ended an epoch ({reasons})")
    main, *others = sections
    answer = advise(main, metric, experiment, members)
    chosen = answer["chosen"].member
    submission = chosen.path / "hard.csv"
    trials = [one for one in scored(main) if not one.member.is_blend]
    return {
        "experiment": experiment.resolve().name,
        "folder": experiment,
        "made": datetime.now().astimezone().strftime("%-d %B %Y, %H:%M"),
        "metric": metric,
        "photos": len(chosen.validation.ids),
        "main_head": chosen.head,
        "answer": answer,
        "submission": submission if submission.is_file() else None,
        "rule": rule_of(chosen),
        "statuses": Counter(one.summary.get("status", "no summary.json") for one in members if not one.is_blend),
        "blends": sum(one.is_blend for one in members),
        "seconds": sum(one.summary.get("seconds", 0) for one in members),
        "lost": lost,
        "lost_shown": FAILED_SHOWN,
        "blend": show_blend(answer["blend"], metric),
        "curves": show_curves(trials, metric),
        "knobs": show_knobs(trials, metric),
        "classes": show_classes(chosen),
        "gallery": hang(chosen, trials, data_dir),
        "table": tabulate(scored(main), metric),
        "others": [show_other(section, metric) for section in others],
    }


def show_other(section: Section, metric: str) -> dict[str, Any]:
    """Curves and table of those that are not comparable with the first."""
    trials = scored(section)
    return {"title": section.title, "curves": show_curves(trials, metric), "table": tabulate(trials, metric)}


def measure_all(members: Sequence[Member]) -> list[Standing]:
    progress = Progress("scoring", len(members), "run folders")
    standings = []
    for member in members:
        standings.append(measure(member))
        progress.show(len(standings))
    return standings


def scored(section: Section) -> list[Standing]:
    return [one for one in section.standings if one.rank is not None]


def lost_ones(standings: Sequence[Standing], sections: Sequence[Section], metric: str) -> list[tuple[str, str, str]]:
    """Name, status and the first line of the reason of those that stand in no table."""
    shown = {one.member.path for section in sections for one in scored(section)}
    unknown = f"it decides by a rule of its own, whose {metric} on people left out of its fit is not known"
    lost = [one for one in standings if one.member.path not in shown]
    reasons = [
        one.member.summary.get("error", "").strip() or one.problem or (unknown if one.asked else "no epoch has ended")
        for one in lost
    ]
    return [
        (one.member.path.name, one.status, reason.partition("\n")[0]) for one, reason in zip(lost, reasons, strict=True)
    ]


def advise(section: Section, metric: str, experiment: Path, members: Sequence[Member]) -> dict[str, Any]:
    """The best trial and blend, and what to submit: `chosen`, or what the command `missing` makes.

    A blend that was judged on people left out of its fit, `blend`, goes before others.
    """
    standings = scored(section)
    blends = [one for one in standings if one.member.is_blend]
    trials, _ = rank([one for one in standings if not one.member.is_blend], metric)  # ties with the best of them
    blend = next((one for one in blends if "judged" in one.member.summary), next(iter(blends), None))
    judged = blend.member.summary.get("judged") if blend else None
    chosen, missing = (blend if judged else standings[0]), None
    if judged and judged["recommended"] == judged["gain"]["over"]:
        chosen = next((one for one in blends if is_equal_of(one.member, blend.member)), blend)
        missing = None if is_equal_of(chosen.member, blend.member) else command_of(blend.member, experiment, members)
    rows = {row["name"]: row for row in judged["rows"]} if judged else {}
    return {
        "chosen": chosen,
        "missing": missing,
        "trial": trials[0] if trials else None,
        "blend": blend,
        "best_blend": next(iter(blends), None),
        "judged": judged,
        "rows": rows,
        "single": next((row for name, row in rows.items() if name.startswith("best single")), None),
        "single_is": single_of(blend.member, members) if blend else "",
        "rivals": len(trials) - 1,
        "tied": sum(one.tied for one in trials[1:]),
        "fitted": is_fitted(chosen.member),
    }


def is_equal_of(member: Member, judged: Member) -> bool:
    """Whether a blend is the equal one that a judged blend was compared with: nothing fitted, the same members."""
    plan, other = plan_of(member), plan_of(judged)
    same = all(plan[name] == other[name] for name in ("mean", "recombine"))
    models, others = (sorted(one.config["blend"]["members"]) for one in (member, judged))
    return plan["fit"] == "equal" and not is_fitted(member) and same and models == others


def command_of(judged: Member, experiment: Path, members: Sequence[Member]) -> str:
    """What makes the equal blend of a judged one's members; they are named unless they are all of the experiment."""
    plan, names = plan_of(judged), judged.config["blend"]["members"]
    trials = [one for one in members if not one.is_blend]
    predicted = [[one.name for one in trials if (one.path / name).is_file()] for name in ("soft.csv", "val_soft.csv")]
    whole = sorted(names) == sorted(next(filter(None, predicted), []))
    runs = [experiment] if whole else [os.path.relpath(experiment.resolve().parent / name) for name in names]
    options = [f"--{name}={plan[name]}" for name, usual in USUAL.items() if plan[name] != usual]
    return shlex.join(["python", "ensemble/soft_vote.py", *map(str, runs), *options, "-o", "submission.csv"])


def single_of(blend: Member, members: Sequence[Member]) -> str:
    """What a judged blend's row "best single" is of, as far as its members are known here."""
    heads = {one.head for one in members if one.name in blend.config["blend"]["members"]}
    if not heads - {WHOLE}:
        return SINGLE
    return f"{SINGLE}, or {RECOMBINED}" if WHOLE in heads else RECOMBINED


def rule_of(member: Member) -> str:
    """The name of a blend's own rule of decision; empty where it takes the most probable class."""
    return plan_of(member)["decide"] if has_rule(member) else ""


def render(page: dict[str, Any]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"duration": duration, "number": "{:.3f}".format, "signed": "{:+.3f}".format}
    plotly_js = Markup(plotly.offline.get_plotlyjs())
    return environment.get_template("report.html.jinja").render(page, plotly_js=plotly_js)


if __name__ == "__main__":
    main(sys.argv[1:])
