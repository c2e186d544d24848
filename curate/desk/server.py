"""What the page asks for: the data, the photos by number, what was said of them. It hands in each decision at once."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, render_template, request, send_from_directory

from desk.agreement import agreements
from desk.gate import HEADERS, refusal
from desk.handover import Result, result_of, table_text, write_classes, write_corrections
from desk.opinions import Labels, disagreements, join, opinions_of
from desk.pictures import Pictures
from desk.shortlist import Suspect
from desk.verdicts import MARKS, UNSURE, Store, Verdict, check_name, live
from notes import CORRECTIONS, amend, origin
from proteins import COLOURS
from samples import Data

PAGE = Path(__file__).resolve().parent / "page"
MOST = 1000  # verdicts in one request


@dataclass(frozen=True)
class Desk:
    """All that the page works with."""

    data: Data
    store: Store
    pictures: Pictures
    token: str
    folder: Path  # where corrections.csv is written; classes.csv lies beside the store
    reviewer: str = ""  # the name that the page begins with
    suspects: Sequence[Suspect] = ()
    notices: Sequence[str] = field(default_factory=tuple)


def create(desk: Desk) -> Flask:
    app = Flask("review", static_folder=None, template_folder=str(PAGE))
    app.config["MAX_CONTENT_LENGTH"] = 2**20

    @app.before_request
    def guard() -> None:
        given = request.headers.get("X-Token") or request.args.get("token", "")
        origin_of = request.headers.get("Origin")
        if reason := refusal(request.method, request.host, origin_of, given, desk.token):
            abort(Response(reason + "\n", 403, mimetype="text/plain"))

    @app.after_request
    def seal(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(ValueError)
    def refuse(error: ValueError) -> Response:
        return Response(f"{error}\n", 400, mimetype="text/plain")

    @app.get("/")
    def page() -> str:
        return render_template("page.html", token=desk.token, title=desk.data.root.name)

    @app.get("/page/<name>")
    def part(name: str) -> Response:
        return send_from_directory(PAGE, name)

    add_photos(app, desk)
    add_decisions(app, desk)
    add_disagreements(app, desk)
    add_results(app, desk)
    return app


def add_photos(app: Flask, desk: Desk) -> None:
    described = json.dumps(describe(desk), ensure_ascii=False)

    @app.get("/data")
    def data() -> Response:
        return Response(described, mimetype="application/json")

    @app.get("/photo/<int:row>")
    def photo(row: int) -> Response:
        side, channel = request.args.get("side", "1024"), request.args.get("channel", "")
        if row >= len(desk.data.train.ids) or not side.isascii() or not side.isdigit():
            return Response("there is no such photo\n", 404, mimetype="text/plain")
        if channel and channel not in channels_of(desk.data):
            raise ValueError(f"there is no channel {channel!r}")
        picture = desk.pictures.get(row, int(side), channel)
        if picture.fault:
            return Response(picture.fault + "\n", 422, mimetype="text/plain")
        kept = {"Cache-Control": "private, no-cache"}  # asked for each time, and sent if it changed
        answer = Response(picture.content, mimetype=picture.kind, headers=kept)
        answer.add_etag()
        return answer.make_conditional(request)


def add_decisions(app: Flask, desk: Desk) -> None:
    @app.get("/state")
    def state() -> dict[str, Any]:
        """The reviewer's verdicts that hold, in order, and who else reviews."""
        reviewer = check_name(request.args.get("reviewer", ""))
        log = desk.store.read()
        rows = {photo: row for row, photo in enumerate(desk.data.train.ids)}
        mine = [
            {"key": one.key, "row": rows[one.path], "field": one.field, "value": one.value}
            for one in live(log)
            if one.reviewer == reviewer
        ]
        return {"verdicts": mine, "reviewers": sorted({one.reviewer for one in log})}

    @app.post("/verdicts")
    def verdicts() -> dict[str, Any]:
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or not isinstance(given.get("verdicts"), list):
            raise ValueError('send JSON {"reviewer": …, "verdicts": […]}')
        if len(given["verdicts"]) > MOST:
            raise ValueError(f"more than {MOST} verdicts at once; send them in parts")
        reviewer = check_name(str(given.get("reviewer", "")))
        said = [verdict_of(desk.data, reviewer, one) for one in given["verdicts"]]
        desk.store.append(said)
        return {"saved": [one.key for one in said]}


def add_disagreements(app: Flask, desk: Desk) -> None:
    labels = Labels.of(desk.data)

    @app.get("/disagreements")
    def disagreed() -> dict[str, Any]:
        log = desk.store.read()
        opinions = opinions_of(labels, live(log))
        rows = {photo: row for row, photo in enumerate(desk.data.train.ids)}
        first = {person: row for row, person in reversed(list(enumerate(desk.data.train.groups)))}
        shared = {field.name for field in desk.data.fields if field.of_group}
        found = [
            {
                "row": first[subject] if name in shared else rows[subject],
                "field": name,
                "said": {one.reviewer: labels.class_of(name, one.value) for one in joint.opinions},
            }
            for (name, subject), joint in disagreements(join(labels, opinions)).items()
        ]
        figures = [
            {
                "field": one.field,
                "reviewers": one.reviewers,
                "both": one.both,
                "raw": no_nan(one.raw),
                "kappa": no_nan(one.kappa),
            }
            for one in agreements(labels, live(log))
        ]
        return {"disagreements": sorted(found, key=lambda one: one["row"]), "agreement": figures}


def add_results(app: Flask, desk: Desk) -> None:
    def result() -> Result:
        return result_of(desk.data, desk.store.read())

    exporting = threading.Lock()  # so that both files are of one export

    @app.get("/corrections.csv")
    def corrections() -> Response:
        return attached("corrections.csv", table_text(CORRECTIONS, result().corrections))

    @app.get("/classes.csv")
    def classes() -> Response:
        return attached("classes.csv", table_text(("path", "class"), result().classes))

    @app.get("/result")
    def told() -> dict[str, Any]:
        found = result()
        return {"told": str(found), "lines": len(found.corrections) - 1, "folder": str(desk.folder)}

    @app.post("/export")
    def export() -> dict[str, Any]:
        try:
            with exporting:
                found = result()
                write_corrections(desk.folder / "corrections.csv", desk.store, found)
                write_classes(desk.store.path.with_name("classes.csv"), found)
        except OSError as error:
            raise ValueError(str(error)) from error
        lines = len(found.corrections) - 1
        return {"told": f"{desk.folder}: corrections.csv with {lines} lines, curation/classes.csv; {found}"}


def attached(name: str, text: str) -> Response:
    return Response(text, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def no_nan(number: float) -> float | None:
    return None if math.isnan(number) else number


def channels_of(data: Data) -> list[str]:
    return list(COLOURS.values())[: data.channels] if data.channels > 3 else []


def describe(desk: Desk) -> dict[str, Any]:
    """What never changes while the page is open, by columns: `values` are classes, of numbers also as they came."""
    train, fields = desk.data.train, desk.data.fields
    people = {person: number for number, person in enumerate(dict.fromkeys(train.groups))}
    return {
        "origin": origin(desk.data),
        "title": desk.data.root.name,
        "reviewer": desk.reviewer,
        "notices": list(desk.notices),
        "paths": train.ids,
        "persons": list(people),
        "person": [people[group] for group in train.groups],
        "channels": channels_of(desk.data),
        "fields": [
            {
                "name": field.name,
                "classes": field.classes,
                "exclusive": field.exclusive,
                "shared": field.of_group,
                "numbers": bool(field.ranges),
                "ranges": field.ranges,
                "values": [field.class_of(value) for value in field.values],
                "raw": field.values if field.ranges else None,
            }
            for field in fields
        ],
        "suspects": [vars(one) for one in desk.suspects],
    }


def verdict_of(data: Data, reviewer: str, given: Any) -> Verdict:
    """A verdict as the page sends it: key, and undoes, or row, field, value and whether it settles."""
    if not isinstance(given, dict) or not 8 <= len(key := str(given.get("key", ""))) <= 80:
        raise ValueError("a verdict needs a key of 8 to 80 letters")
    if given.get("undoes"):
        return Verdict(key, reviewer, undoes=str(given["undoes"]))
    row, name, value = given.get("row"), str(given.get("field", "")), str(given.get("value", ""))
    if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < len(data.train.ids):
        raise ValueError(f"verdict {key}: there is no photo {row!r}")
    if not name and value not in MARKS:
        raise ValueError(f"verdict {key}: a photo is marked {', '.join(MARKS)}, not {value!r}")
    if name:
        field = next((one for one in data.fields if one.name == name), None)
        if field is None:
            raise ValueError(f"verdict {key}: the data has no field {name!r}")
        if value != UNSURE:
            amended = amend(field, field.values[row], value, f"verdict {key}")
            value = value if field.ranges else amended
    return Verdict(
        key, reviewer, data.train.ids[row], data.train.groups[row], name, value, settles=bool(given.get("settles"))
    )
