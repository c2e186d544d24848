// Keys, clicks, and what follows from them.
"use strict";

const ADVICE = { wrong: "✕ wrong", right: "✓ right", unsure: "? unsure" };
let model, outbox, gallery, chooser;
let reviewer = "";
let pass = "look";
let queue = [];
let place = 0;
let zoomed = 1;
let thumbsTimer = 0;
const filters = { // of each pass
  look: { show: "undecided", field: "", name: "", text: "", order: "suspects" },
  marked: { show: "all", field: "", name: "", text: "", order: "suspects" },
  name: { show: "all", field: "", name: "", text: "", order: "suspects" },
};
let filter = filters.look;
const times = []; // of the last decisions, ms

const row = () => queue[place];
const isSettling = () => filter.show === "disagreed";
const isChoosing = () => place < queue.length && (pass === "name" || isSettling());

async function begin() {
  try {
    const data = await ask("data");
    model = new Model(data);
    outbox = new Outbox(data.origin, drawSaved);
    gallery = new Gallery();
    chooser = new Chooser(model, $("chooser"), $("typed"), choose);
    if (data.notices.length) drawNotice(data.notices.join(" "));
    $("channel").hidden = !data.channels.length;
    drawSaved(outbox);
    fillFilter();
    await enter(new URLSearchParams(location.search).get("reviewer") || localStorage.getItem("podium.reviewer") || data.reviewer);
    outbox.send();
  } catch (error) {
    drawNotice(`The page cannot start: ${error.message}`);
  }
}

async function enter(name) {
  const wanted = name.trim() || model.reviewer;
  const state = await ask(`state?reviewer=${encodeURIComponent(wanted)}`);
  reviewer = wanted;
  if (wanted !== model.reviewer) localStorage.setItem("podium.reviewer", wanted);
  else localStorage.removeItem("podium.reviewer");
  model.load(state.verdicts);
  // what still waits here is said already
  for (const one of outbox.waiting.filter(one => one.reviewer === reviewer)) {
    if (one.verdict.undoes) {
      const at = model.log.findIndex(known => known.key === one.verdict.undoes);
      if (at >= 0) model.load(model.log.filter((_, place) => place !== at));
    } else if (!model.log.some(known => known.key === one.verdict.key)) model.add(one.verdict);
  }
  $("who").textContent = reviewer;
  $("names").replaceChildren(...state.reviewers.map(known => Object.assign(element("option"), { value: known })));
  times.length = 0;
  go("look");
}

function go(next) {
  pass = next;
  filter = filters[pass];
  refill();
}

function refill() {
  queue = model.queue(pass, filter);
  place = 0;
  document.body.dataset.pass = pass;
  for (const button of $("passes").children) button.setAttribute("aria-current", button.dataset.pass === pass);
  const parts = [filter.show === "undecided" || filter.show === "all" ? "" : SHOWN[filter.show], filter.name && `${filter.name}`, filter.text];
  $("filter-told").textContent = parts.filter(Boolean).join(" · ") || "Filter";
  show();
}

function show() {
  zoom(1);
  gallery.measure($("stage"));
  const ended = place >= queue.length;
  document.body.classList.toggle("ended", ended);
  if (ended) {
    for (const id of ["labels", "suspect", "said", "person", "path"]) $(id).replaceChildren();
    for (const id of ["suspect", "said", "person", "chooser"]) $(id).hidden = true;
    chooser.clear();
    drawEnd(model, pass, filter);
  } else {
    showPhoto();
    details();
  }
  drawProgress(model, queue, place, pace());
  gallery.prefetch(queue, place);
}

function showPhoto() {
  const [at, shown] = [row(), gallery.get(row())];
  $("photo").classList.toggle("waiting", !shown.done);
  if (shown.done) return drawPhoto(shown);
  shown.ready.then(() => { // another photo may be wanted by now, or another channel of this one
    if (row() !== at || gallery.address(at) !== shown.address) return;
    $("photo").classList.remove("waiting");
    drawPhoto(shown);
  });
}

function details() {
  drawLabels(model, row());
  drawSuspect(model, row());
  if (isSettling()) drawSaid(model, row());
  else $("said").hidden = true;
  clearTimeout(thumbsTimer); // the photo comes first, and those that follow it
  const at = row();
  thumbsTimer = setTimeout(() => row() === at && drawPerson(model, at, visit), 40);
  $("path").textContent = model.paths[row()];
  $("chooser").hidden = !isChoosing();
  if (isChoosing()) chooser.begin(row());
}

function pace() {
  const recent = times.slice(-20);
  if (recent.length < 5) return 0;
  return (60000 * (recent.length - 1)) / (recent.at(-1) - recent[0]);
}

function decide(field, value) {
  const verdict = { key: newKey(), row: row(), field, value };
  if (isSettling()) verdict.settles = true;
  model.add(verdict);
  outbox.push(reviewer, verdict);
  times.push(performance.now());
  if (times.length > 1 && times.at(-1) - times.at(-2) > 20000) times.splice(0, times.length - 1); // a break
}

function flash(text, name) {
  const box = $("flash");
  box.textContent = text;
  box.className = "";
  void box.offsetWidth; // begins the animation anew
  box.className = `on ${name}`;
}

function mark(value) {
  if (place >= queue.length) return;
  const drafted = isChoosing() && value === "right" ? chooser.drafted() : null;
  if (drafted) return keepDraft(drafted);
  decide("", value);
  flash(ADVICE[value], value);
  move(1);
}

function keepDraft({ field, value }) {
  if (!value) return flash("at least one label must hold", "unsure");
  decide(field.name, value);
  flash(`✓ ${spoken(field, value)}`, "right");
  move(1);
}

// a class or an age for the photo
function choose(field, value) {
  if (place >= queue.length) return;
  if (field.numbers && /^\d+$/.test(value)) {
    if (Number(value) > field.ranges.at(-1)[1]) return flash(`no ${field.name} above ${field.ranges.at(-1)[1]}`, "unsure");
    value = String(Number(value));
  }
  decide(field.name, value);
  flash(`✓ ${value}`, "right");
  if (model.fields.length === 1) return move(1);
  details();
  drawProgress(model, queue, place, pace());
}

// the suggestion at a place among those that are open; the photo stays while others are
function take(at) {
  const open = place < queue.length ? model.suspicions(row()) : [];
  const one = open[at];
  if (!one) return;
  if (!one.suggested) return flash("no label is suggested", "unsure");
  decide(one.field, one.suggested);
  flash(`✓ ${one.suggested}`, "right");
  if (open.length === 1) return move(1);
  details();
  drawProgress(model, queue, place, pace());
}

function undo() {
  const last = model.undo();
  if (!last) return flash("nothing to undo", "");
  outbox.push(reviewer, { key: newKey(), undoes: last.key });
  times.pop();
  const at = queue.indexOf(last.row);
  if (at >= 0) place = at;
  else queue.splice(place, 0, last.row);
  flash("↶ undone", "");
  show();
}

function move(by) {
  place = Math.max(0, Math.min(queue.length, place + by));
  show();
}

// goes to a photo that was clicked at, and from there on in the queue
function visit(wanted) {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const at = queue.indexOf(wanted);
  if (at >= 0) place = at;
  else queue.splice(place, 0, wanted);
  show();
}

function onward() { // Enter: in the third pass what is chosen stands, else the labels are right
  if (!isChoosing()) return mark("right");
  const drafted = chooser.drafted();
  return drafted ? keepDraft(drafted) : move(1);
}

function nextChannel() {
  const all = ["", ...model.channels];
  gallery.channel = all[(all.indexOf(gallery.channel) + 1) % all.length];
  $("channel").lastElementChild.textContent = gallery.channel || "All channels";
  if (place >= queue.length) return;
  showPhoto();
  gallery.prefetch(queue, place);
}

function zoom(to, x = 0, y = 0) {
  zoomed = Math.max(1, Math.min(12, to));
  const box = $("photo");
  box.style.transform = zoomed === 1 ? "" : `translate(${x}px, ${y}px) scale(${zoomed})`;
  box.dataset.x = x;
  box.dataset.y = y;
  $("stage").classList.toggle("zoomed", zoomed > 1);
  if (zoomed > 1 && place < queue.length && gallery.side < 4096) { // all its pixels
    const at = row();
    const large = gallery.get(at, 4096);
    large.ready.then(() => zoomed > 1 && row() === at && !large.fault && drawPhoto(large));
  }
}

function zoomAt(factor, event) {
  const box = $("stage").getBoundingClientRect();
  const [cx, cy] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  const to = Math.max(1, Math.min(12, zoomed * factor));
  const [x, y] = [Number($("photo").dataset.x), Number($("photo").dataset.y)];
  zoom(to, cx - ((cx - x) * to) / zoomed, cy - ((cy - y) * to) / zoomed);
}

const KEYS = {
  r: () => mark("right"), j: () => mark("right"), w: () => mark("wrong"), k: () => mark("wrong"), u: () => mark("unsure"),
  s: () => take(0), d: () => take(1), Backspace: undo, ArrowRight: () => move(1), ArrowLeft: () => move(-1), Enter: onward,
  l: () => go("look"), m: () => go("marked"), c: () => go("name"),
  z: () => zoom(zoomed > 1 ? 1 : 2.5), "+": () => zoom(zoomed * 1.5, ...offset()), "=": () => zoom(zoomed * 1.5, ...offset()),
  "-": () => zoom(zoomed / 1.5, ...offset()), 0: () => zoom(1), v: () => model.channels.length && nextChannel(),
  p: openPeople, f: openFilter, e: openExport, "?": () => $("help").showModal(),
  "/": () => isChoosing() && document.querySelector(".finder")?.focus(),
};

function offset() {
  return [Number($("photo").dataset.x), Number($("photo").dataset.y)];
}

addEventListener("keydown", event => {
  if (!model || !reviewer || document.querySelector("dialog[open]") || event.target.matches("input, select")) return;
  const undoes = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  if (undoes) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && !key.startsWith("Arrow")) return; // a key held down decides once
  const taken = isChoosing() && chooser.key(key);
  if (!taken && !Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  document.activeElement?.blur(); // so that Enter and blanks do not press a button that was clicked
  if (!taken) KEYS[key]();
});

addEventListener("beforeunload", event => {
  if (outbox?.waiting.length) event.preventDefault();
});
addEventListener("resize", () => {
  if (!reviewer || place >= queue.length) return;
  gallery.measure($("stage"));
  showPhoto();
});
document.addEventListener("DOMContentLoaded", () => {
  wire();
  begin();
});
