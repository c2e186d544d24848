// The dialogs: filter, reviewer, export, the person's photos; and what the mouse does.
"use strict";

const SHOWN = {
  undecided: "not decided", all: "all", suspects: "suspects", wrong: "marked wrong", unsure: "marked unsure",
  right: "marked right", changed: "with another class given", disagreed: "reviewers disagree",
};

function fillFilter() {
  const fields = model.fields.length > 1 && model.suspectsOf.size ? model.fields.map(field => `suspects of ${field.name}`) : [];
  const shown = { ...SHOWN, ...Object.fromEntries(fields.map(name => [name, name])) };
  $("show").replaceChildren(...Object.entries(shown).map(([value, text]) => Object.assign(element("option", "", text), { value })));
  const any = Object.assign(element("option", "", "anything"), { value: "" });
  const groups = model.fields.map(field => {
    const group = Object.assign(element("optgroup"), { label: field.name });
    group.append(...field.classes.map(name => Object.assign(element("option", "", name), { value: `${field.name}\t${name}` })));
    return group;
  });
  $("class").replaceChildren(any, ...groups);
}

function openFilter() {
  $("show").value = filter.show;
  $("class").value = filter.field ? `${filter.field}\t${filter.name}` : "";
  $("text").value = filter.text;
  $("order").value = filter.order;
  $("order").parentElement.hidden = !model.rank.size;
  $("filter").dataset.before = JSON.stringify(filter);
  countFiltered();
  $("filter").showModal();
}

async function readFilter() {
  filter.show = $("show").value;
  [filter.field, filter.name] = $("class").value ? $("class").value.split("\t") : ["", ""];
  filter.text = $("text").value;
  filter.order = $("order").value;
  if (filter.show === "disagreed") model.disagreed = (await ask("disagreements")).disagreements;
}

async function countFiltered() {
  await readFilter();
  const count = model.queue(pass, filter).length;
  $("filter-count").textContent = `${count} photo${count === 1 ? "" : "s"} in this pass`;
}

function openPeople() {
  if (place >= queue.length) return;
  drawPeople(model, row(), visit);
  $("people").showModal();
}

async function openExport() {
  $("export-done").textContent = "";
  $("export-told").textContent = "";
  $("export").showModal();
  try {
    const [told, said] = [await ask("result"), await ask("disagreements")];
    $("export-told").textContent = `${told.told}. corrections.csv will have ${told.lines} line${told.lines === 1 ? "" : "s"}, which every later run applies; classes.csv has each decided photo and its class. They go to ${told.folder} and its folder curation.`;
    drawAgreement(said.agreement, said.disagreements.length);
  } catch (error) {
    $("export-told").textContent = error.message;
  }
}

async function write() {
  $("export-done").textContent = "writing …";
  try {
    $("export-done").textContent = `Written: ${(await ask("export", {})).told}`;
  } catch (error) {
    $("export-done").textContent = error.message;
  }
}

function wire() {
  for (const button of $("passes").children) button.addEventListener("click", () => go(button.dataset.pass));
  for (const value of ["wrong", "unsure", "right"]) $(value).addEventListener("click", () => (value === "right" && isChoosing() ? onward() : mark(value)));
  const clicks = {
    back: () => move(-1), forth: () => move(1), undo, zoom: KEYS.z, channel: nextChannel, "filter-open": openFilter,
    "export-open": openExport, "help-open": KEYS["?"], "export-write": write,
    who: () => {
      $("name").value = "";
      $("reviewer").showModal();
    },
    "filter-clear": () => {
      $("show").value = pass === "look" ? "undecided" : "all";
      $("class").value = "";
      $("text").value = "";
      countFiltered();
    },
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  for (const id of ["show", "class", "text", "order"]) $(id).addEventListener("input", countFiltered);
  $("filter").addEventListener("close", () => JSON.stringify(filter) !== $("filter").dataset.before && refill());
  $("reviewer").addEventListener("close", async () => {
    if (!$("name").value.trim()) return;
    try {
      await enter($("name").value);
    } catch (error) {
      flash(error.message, "unsure");
    }
  });
  $("get-corrections").href = `corrections.csv?token=${TOKEN}`;
  $("get-classes").href = `classes.csv?token=${TOKEN}`;
  document.addEventListener("click", event => event.target.closest(".take") && take(Number(event.target.closest(".take").dataset.at)));
  wireMouse();
}

function wireMouse() {
  const stage = $("stage");
  let from = null;
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    zoomAt(event.deltaY < 0 ? 1.2 : 1 / 1.2, event);
  }, { passive: false });
  stage.addEventListener("dblclick", event => (zoomed > 1 ? zoom(1) : zoomAt(2.5, event)));
  stage.addEventListener("pointerdown", event => {
    if (zoomed > 1) {
      from = { x: event.clientX - Number($("photo").dataset.x), y: event.clientY - Number($("photo").dataset.y) };
      stage.setPointerCapture(event.pointerId);
    }
  });
  stage.addEventListener("pointermove", event => from && zoomed > 1 && zoom(zoomed, event.clientX - from.x, event.clientY - from.y));
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => (from = null));
}
