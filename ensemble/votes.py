"""A recipe's predictions: for the test photos, and for the validation photos; one file after another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from ahead import read_ahead
from blend import Tested, Validated, spelling
from library import Library, Truths, validations
from members import WHOLE, Member
from nested import Judgement
from predictions import Soft, read_soft
from progress import Progress
from recipe import Plan, Recipe, Totals, untaught
from soft_files import SoftFile, align, check_heads, check_kind, head_of


def predict(files: Sequence[SoftFile], plan: Plan | Recipe) -> tuple[Tested | None, Recipe]:
    """The blend of all soft CSVs, read one after another; None where run folders have none."""
    expected = [file.head or WHOLE for file in files]
    if all(file.member and not file.path.is_file() for file in files):
        return None, plan if isinstance(plan, Recipe) else untaught(plan, expected, True)
    watch = Progress("blending", len(files), "files")
    heads: list[str] = []
    whole = None
    for number, soft in enumerate(read_ahead([file.path for file in files], read_soft)):
        if number == 0:
            first = soft
            recipe = plan if isinstance(plan, Recipe) else untaught(plan, expected, soft.exclusive)
            total = Totals(recipe, soft.exclusive)
        if soft.note:
            print(f"{soft.path} {soft.note}", flush=True)
        heads.append(head_of(files[number], soft))
        if heads[-1] == WHOLE:
            whole = whole or soft
            check_kind(soft, whole)
        total.add(number, heads[-1], align(soft, first))
        watch.show(number + 1)
    check_heads(heads, [str(file.path) for file in files], whole.probabilities.shape[1] if whole else 0)
    return finish(files, recipe, first, total.blended()), recipe


def finish(files: Sequence[SoftFile], recipe: Recipe, first: Soft, probabilities: np.ndarray) -> Tested:
    members = [file.member for file in files if file.member]
    spelt = spelling(members, first.id_column, probabilities.shape[1], first.exclusive)
    return Tested(
        columns=tuple(spelt["columns"]),
        words=spelt["answers"],
        ids=first.ids,
        probabilities=probabilities,
        decided=recipe.rule.decide(probabilities),
        exclusive=first.exclusive,
    )


def validate(
    members: Sequence[Member], recipe: Recipe, library: Library | None, judgement: Judgement | None
) -> Validated | None:
    """The blend's validation predictions, of what is fitted those for people left out of the fit.

    None, and why is printed, where members of an unfitted blend did not validate the same photos.
    """
    if judgement:
        held = judgement.held[recipe.plan.name]
        return Validated(library.reference, library.truth, held.probabilities, held.decided)
    truths, total = Truths(), None
    try:
        for number, (member, validation) in enumerate(zip(members, validations(members), strict=True)):
            total = total or Totals(recipe, validation.exclusive)
            truths.add(member, validation.truth)
            total.add(number, member.head, validation.probabilities)
        truth = truths.settle(validation.ids)[WHOLE]
    except ValueError as error:
        print(f"note: the blend gets no validation predictions: {error}", flush=True)
        return None
    blended = total.blended()
    return Validated(validation, truth, blended, recipe.rule.decide(blended))
