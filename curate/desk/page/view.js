// Draws what the page shows. Names and paths are the data's own words, so they only ever become text.
"use strict";

const $ = id => document.getElementById(id);
const MARKS = { right: "right", wrong: "wrong", unsure: "unsure" };

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawPhoto(shown) {
  const box = $("photo");
  if (shown.fault) {
    const card = element("div", "gone");
    card.append(element("b", "", "No photo to show"), element("p", "", shown.fault));
    box.replaceChildren(card);
  } else {
    box.replaceChildren(shown.image);
  }
}

function drawLabels(model, row) {
  const box = $("labels");
  box.replaceChildren();
  for (const field of model.fields) {
    const line = element("div", "label");
    line.append(element("h3", "", field.name));
    const [came, now, said] = [model.came(field, row), model.now(field, row), model.said(field, row)];
    const told = element("p");
    if (now !== came) told.append(element("s", "", spoken(field, came)), element("span", "arrow", " → "));
    const years = field.raw && now === came && (said === undefined || said === "unsure" || !/^\d+$/.test(said)) ? field.raw[row] : /^\d+$/.test(said || "") && field.raw ? said : "";
    told.append(element("b", now !== came ? "changed" : "", spoken(field, now)));
    if (years) told.append(element("small", "", ` ${years} years`));
    if (said === "unsure") told.append(element("small", "amber", " unsure"));
    line.append(told);
    box.append(line);
  }
  const mark = model.marks.get(row);
  if (mark) box.append(element("span", `badge ${mark}`, MARKS[mark]));
}

function spoken(field, value) {
  return field.exclusive ? value : value.split(" ").join(", ");
}

function drawSuspect(model, row) {
  const box = $("suspect");
  const found = model.suspicions(row);
  box.hidden = !found.length;
  box.replaceChildren();
  found.forEach((one, place) => {
    const line = element("p", "suggestion");
    line.append(element("span", "", "Looks like "), element("b", "", spoken(model.field(one.field), one.suggested)));
    if (model.fields.length > 1) line.append(element("small", "", ` ${one.field}`));
    if (one.suggested) {
      const take = element("button", "plain take");
      if (place < 2) take.append(element("kbd", "", "SD"[place]));
      take.append(" take it");
      take.dataset.at = place;
      line.append(take);
    }
    box.append(line);
    if (one.evidence) box.append(element("p", "evidence", one.evidence));
  });
}

function drawSaid(model, row) {
  const box = $("said");
  const found = model.disagreed.filter(one => one.row === row);
  box.hidden = !found.length;
  box.replaceChildren(element("h3", "", "Reviewers disagree"));
  for (const one of found) {
    for (const [name, value] of Object.entries(one.said)) {
      box.append(element("p", "", `${name}: ${one.field ? `${one.field} ` : ""}${value}`));
    }
  }
  box.append(element("p", "evidence", "What you decide here settles it."));
}

function drawPerson(model, row, visit) {
  const box = $("person");
  const others = model.ofPerson[model.person[row]];
  const name = model.persons[model.person[row]];
  box.hidden = others.length < 2;
  if (box.hidden) return;
  const strip = element("div", "strip");
  const place = Math.max(0, Math.min(others.indexOf(row) - 3, others.length - 24));
  for (const other of others.slice(place, place + 24)) strip.append(thumbnail(model, other, other === row, visit));
  const title = element("h3", "", `${name} · ${others.length} photos`);
  title.append(" ", element("kbd", "", "P"));
  box.replaceChildren(title, strip);
}

function thumbnail(model, row, here, visit) {
  const field = model.fields.find(one => !one.shared) || model.fields[0];
  const figure = element("button", `thumb ${here ? "here" : ""} ${model.marks.get(row) || ""}`);
  const image = new Image();
  image.loading = "lazy";
  image.alt = "";
  image.src = `photo/${row}?side=128&token=${TOKEN}`;
  image.addEventListener("error", () => image.replaceWith(element("span", "gone", "?")));
  figure.append(image, element("span", model.now(field, row) !== model.came(field, row) ? "changed" : "", spoken(field, model.now(field, row))));
  const [suspect] = model.suspectsOf.get(row) || [];
  if (suspect) figure.append(element("span", "amber", `→ ${spoken(model.field(suspect.field), suspect.suggested)}`));
  figure.title = model.paths[row];
  figure.addEventListener("click", () => visit(row));
  return figure;
}

function drawPeople(model, row, visit) {
  const others = model.ofPerson[model.person[row]];
  const shared = model.fields.filter(field => field.shared).map(field => model.now(field, row));
  $("people-title").textContent = [model.persons[model.person[row]], ...shared, `${others.length} photos`].join(" · ");
  $("people-grid").replaceChildren(...others.map(other => thumbnail(model, other, other === row, visit)));
}

function drawProgress(model, queue, place, rate) {
  const done = model.decided();
  $("bar").firstElementChild.style.width = `${(100 * done) / model.count}%`;
  const parts = [`${Math.min(place + 1, queue.length)} of ${queue.length}`, `${done} of ${model.count} decided`];
  if (rate) {
    parts.push(`${Math.round(rate)} a minute`);
    const left = queue.slice(place).filter(row => !model.isDecided(row)).length;
    if (left) parts.push(`${duration(left / rate)} left`);
  }
  $("progress").replaceChildren(...parts.map(part => element("span", "", part)));
  let [marked, open] = [0, 0];
  const rows = new Set([...model.marks.keys(), ...model.touched.keys()]);
  for (const row of rows) {
    if (model.isMarked(row)) marked += 1;
    if (model.isOpen(row)) open += 1;
  }
  $("marked-count").textContent = marked || "";
  $("open-count").textContent = open || "";
}

function duration(minutes) {
  if (minutes < 1) return "under a minute";
  return minutes < 90 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 6) / 10} h`;
}

function drawSaved(outbox) {
  const [waiting, problem, refused] = [outbox.waiting.length, outbox.problem, outbox.refused.length];
  const box = $("saved");
  box.className = problem ? "bad" : waiting ? "busy" : "good";
  box.textContent = problem ? `${waiting} wait here` : waiting ? "saving" : "saved";
  box.title = problem;
  if (outbox.denied) drawNotice(`The server refuses the decisions that wait here: ${problem}`);
  else if (problem) drawNotice(`The server does not answer. ${waiting} decision${waiting === 1 ? " waits" : "s wait"} here and will be handed in; start it again with the same command.`);
  else if (refused) drawNotice(`The server refused ${refused} decision${refused === 1 ? "" : "s"}, the last as “${outbox.refused.at(-1).reason}”. This browser keeps ${refused === 1 ? "it" : "them"} aside. All others are handed in; load the page anew to see what holds.`);
  else if ($("notice").dataset.of === "outbox") drawNotice("");
  $("notice").dataset.of = problem || refused ? "outbox" : "";
}

function drawNotice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
}

function drawAgreement(figures, disagreements) {
  const box = $("agreement");
  box.replaceChildren();
  const known = figures.filter(one => one.both);
  if (!known.length) return;
  const table = element("table");
  const head = element("tr");
  for (const name of ["two reviewers", "", "both decided", "alike", "Cohen's κ"]) head.append(element("th", "", name));
  table.append(head);
  for (const one of known) {
    const line = element("tr");
    const kappa = one.kappa === null ? "–" : one.kappa.toFixed(2);
    for (const cell of [one.reviewers.join(", "), one.field || "marks", one.both, `${Math.round(100 * one.raw)} %`, kappa]) line.append(element("td", "", cell));
    table.append(line);
  }
  box.append(element("h3", "", "Agreement"), table);
  if (disagreements) box.append(element("p", "", `${disagreements} disagreement${disagreements === 1 ? " is" : "s are"} left out until one of you settles ${disagreements === 1 ? "it" : "them"}: filter “reviewers disagree”.`));
}

function drawEnd(model, pass, filter) {
  const card = element("div", "end");
  const open = model.rowsWhere(row => model.isOpen(row)).length;
  const marked = model.rowsWhere(row => model.isMarked(row)).length;
  const title = { look: "All looked at", marked: "Nothing more is marked", name: "No photo waits for its class" }[pass];
  card.append(element("b", "", filter.text || filter.field || filter.show === "disagreed" ? "No more such photos" : title));
  const next = element("p");
  if (pass === "look" && marked) next.append(element("kbd", "", "M"), ` review the ${marked} that you marked`);
  else if (open) next.append(element("kbd", "", "C"), ` give ${open === 1 ? "the one that is" : `the ${open} that are`} wrong ${open === 1 ? "its" : "their"} right class`);
  else next.append(element("kbd", "", "E"), " export what you decided");
  card.append(next);
  card.append(element("p", "evidence", "← goes back, F filters"));
  $("photo").replaceChildren(card);
}
