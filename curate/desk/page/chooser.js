// The third pass: classes by number, by name or by a click, several at once where labels do not exclude each other.
"use strict";

class Chooser {
  // chosen(field, value) takes what was chosen; box shows the classes, typed the digits so far
  constructor(model, box, typed, chosen) {
    Object.assign(this, { model, box, typed, chosen });
    this.digits = "";
    this.years = false;
    this.draft = null; // of several labels: those that are to hold
    this.numbers = this.number();
  }

  // number -> field and class; classes that are numbers keep theirs
  number() {
    const found = new Map();
    let next = 1;
    for (const field of this.model.fields) {
      const own = this.model.fields.length === 1 && field.classes.every(name => /^(0|[1-9]\d*)$/.test(name));
      for (const name of field.classes) {
        found.set(own ? name : String(next), { field, name });
        next += 1;
      }
    }
    return found;
  }

  begin(row) {
    this.row = row;
    this.search = "";
    this.clear();
    const [field] = this.model.fields;
    this.draft = field.exclusive ? null : new Set(this.model.now(field, row).split(" ").filter(Boolean));
    this.show();
  }

  clear() {
    this.digits = "";
    this.years = false;
    this.tell();
  }

  tell() {
    this.typed.hidden = !this.digits && !this.years;
    const hit = this.numbers.get(this.digits);
    this.typed.textContent = this.years ? `age ${this.digits || "…"} years` : `${this.digits} ${hit ? hit.name : "…"}`;
  }

  // whether the key was taken
  key(key) {
    if (/^\d$/.test(key)) {
      this.digits += key;
      if (this.years) {
        if (this.digits.length > 3) this.digits = key;
      } else {
        const fits = [...this.numbers.keys()].filter(number => number.startsWith(this.digits));
        if (!fits.length) this.digits = key;
        if (fits.length === 1 && fits[0] === this.digits) return this.commit();
      }
      this.tell();
      return true;
    }
    if (key === "Backspace" && (this.digits || this.years)) {
      this.digits = this.digits.slice(0, -1);
      if (!this.digits) this.years = false;
      this.tell();
      return true;
    }
    if (key === "y" && this.model.fields.some(field => field.numbers)) {
      this.clear();
      this.years = true;
      this.tell();
      return true;
    }
    return key === "Enter" && this.digits !== "" && this.commit();
  }

  commit() {
    const [hit, digits, years] = [this.numbers.get(this.digits), this.digits, this.years];
    this.clear();
    if (years) this.chosen(this.model.fields.find(field => field.numbers), digits);
    else if (hit) this.pick(hit.field, hit.name);
    return true;
  }

  pick(field, name) {
    if (!this.draft) {
      this.chosen(field, name);
      return;
    }
    if (!this.draft.delete(name)) this.draft.add(name);
    this.show();
  }

  // the labels that were toggled, if they differ from those that hold now
  drafted() {
    if (!this.draft) return null;
    const [field] = this.model.fields;
    const value = field.classes.filter(name => this.draft.has(name)).join(" ");
    return value === this.model.now(field, this.row) ? null : { field, value };
  }

  show() {
    this.box.replaceChildren();
    this.box.classList.toggle("several", this.model.fields.length > 1);
    this.box.classList.toggle("numbers", this.numbers.has(this.model.fields[0].classes[0]));
    for (const field of this.model.fields) this.box.append(this.group(field));
    if (this.draft) this.box.append(element("p", "hint", "numbers switch labels on and off; Enter keeps them and goes on"));
  }

  group(field) {
    const holds = name => (this.draft ? this.draft.has(name) : this.model.now(field, this.row) === name);
    const group = element("div", "group");
    if (this.model.fields.length > 1) group.append(element("h3", "", field.name));
    if (field.classes.length > 12) group.append(this.finder(field));
    const list = element("div", field.classes.length > 12 ? "choices long" : "choices");
    for (const [number, one] of this.numbers) {
      if (one.field !== field || !one.name.toLowerCase().includes(this.search)) continue;
      const came = !this.draft && one.name === this.model.came(field, this.row);
      const button = element("button", `choice ${holds(one.name) ? "on" : ""} ${came ? "came" : ""}`);
      button.append(element("kbd", "", number));
      if (one.name !== number) button.append(element("span", "", one.name));
      if (came) button.append(element("small", "", "as it came"));
      button.addEventListener("click", () => this.pick(field, one.name));
      list.append(button);
    }
    group.append(list);
    return group;
  }

  finder(field) {
    const input = element("input", "finder");
    input.placeholder = "/ find a class";
    input.value = this.search;
    input.spellcheck = false;
    input.addEventListener("input", () => {
      this.search = input.value.trim().toLowerCase();
      const fresh = this.group(field);
      input.parentElement.querySelector(".choices").replaceWith(fresh.querySelector(".choices"));
    });
    input.addEventListener("keydown", event => {
      event.stopPropagation();
      if (event.key === "Escape") input.blur();
      const first = input.parentElement.querySelector(".choice");
      if (event.key === "Enter" && first) first.click();
    });
    return input;
  }
}
