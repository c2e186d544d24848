"""A table for people, and its renderings: rich in a terminal, Markdown, and a web page that a phone can read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

ENDLESS = 10_000  # characters, of a terminal that is never too narrow
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #ddd; }}
td {{ font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
ul {{ color: #555; padding-left: 1.2rem; }}
@media (min-width: 40.01rem) {{ td.short {{ white-space: nowrap; }} }}
@media (max-width: 40rem) {{
  thead {{ display: none; }} table, tbody, tr, td {{ display: block; }}
  tr {{ border: 1px solid #ccc; border-radius: .5rem; margin: .8rem 0; padding: .3rem .2rem; }}
  td {{ border: 0; padding: .15rem .6rem; display: flex; gap: .6rem; }} td.empty {{ display: none; }}
  td::before {{ content: attr(data-name); flex: 0 0 6rem; color: #777; font-weight: 400; }}
}}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


@dataclass(frozen=True)
class Sheet:
    """Cells are text and may have several lines; those that are missing in a row are empty.

    `wide` names the column that holds sentences.
    """

    title: str
    wide: str
    columns: list[str]
    rows: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)


def check_target(path: Path) -> None:
    """Raises ValueError for a file that cannot be written there, which is better known before all is read."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")


def show(sheets: Sequence[Sheet], notes: Sequence[str], console: Console) -> None:
    """Each sheet as a table, or as a card for each row where the terminal is too narrow for its numbers."""
    from rich.text import Text  # which is taken as it is; in a str, [Errno 2] would be markup

    for sheet in sheets:
        console.print(Text(sheet.title, style="bold"))
        table = to_table(sheet)
        needed = console.measure(table, options=console.options.update(width=ENDLESS)).minimum
        for part in [table] if needed <= console.width else to_cards(sheet):
            console.print(part)
        for note in sheet.notes:
            console.print(Text(note))
        console.print()
    for note in notes:
        console.print(Text(note))


def to_table(sheet: Sheet) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 1, 0))
    for name in sheet.columns:
        wide = name == sheet.wide
        table.add_column(Text(name.replace("_", "\n")), overflow="fold", no_wrap=not wide, min_width=18 * wide)
    for row in sheet.rows:
        table.add_row(*(Text(row.get(name, "")) for name in sheet.columns))
    return table


def to_cards(sheet: Sheet) -> list[Table | Text]:
    from rich.table import Table
    from rich.text import Text

    cards: list[Table | Text] = []
    for row in sheet.rows:
        card = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        card.add_column(no_wrap=True)
        card.add_column(overflow="fold")
        for name in filter(row.get, sheet.columns):
            card.add_row(Text(name), Text(row[name].replace("\n", "  ") if name != sheet.wide else row[name]))
        cards += [card, Text()]
    return cards


def to_markdown(title: str, sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    parts = [f"# {mark(title)}\n"]
    for sheet in sheets:
        lines = [sheet.columns, ["---"] * len(sheet.columns)]
        lines += [[mark(row.get(name, "")) for name in sheet.columns] for row in sheet.rows]
        parts.append(f"## {mark(sheet.title)}\n")
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
        parts += ["".join(f"- {mark(note)}\n" for note in sheet.notes)] * bool(sheet.notes)
    parts += ["".join(f"- {mark(note)}\n" for note in notes)] * bool(notes)
    return "\n".join(parts)


def mark(text: str) -> str:
    """`text` as it is in a Markdown cell, where neither tags nor bars nor stars mean anything."""
    for sign in "\\|*`[]":
        text = text.replace(sign, f"\\{sign}")
    return escape(text, quote=False).replace("\n", "<br>")


def to_html(title: str, sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    body = "\n".join(section(sheet) for sheet in sheets) + listing(notes)
    return PAGE.format(title=escape(title), body=body)


def section(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in sheet.columns)
    rows = "\n".join(
        "<tr>" + "".join(cell(name, row.get(name, ""), name == sheet.wide) for name in sheet.columns) + "</tr>"
        for row in sheet.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    return f"<h2>{escape(sheet.title)}</h2>\n{table}\n{listing(sheet.notes)}"


def cell(name: str, text: str, wide: bool) -> str:
    kind = "empty" if not text else "wide" if wide else "short"
    return f'<td class="{kind}" data-name="{escape(name)}"><span>{escape(text).replace(chr(10), "<br>")}</span></td>'


def listing(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else ""
