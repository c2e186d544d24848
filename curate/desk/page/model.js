// What is known of the photos, what this reviewer said of them, and which of them come next.
"use strict";

class Model {
  constructor(data) {
    Object.assign(this, data);
    this.count = data.paths.length;
    this.ofPerson = Array.from(data.persons, () => []);
    data.person.forEach((person, row) => this.ofPerson[person].push(row));
    this.suspectsOf = new Map();
    this.rank = new Map();
    data.suspects.forEach((one, place) => {
      if (!this.rank.has(one.row)) this.rank.set(one.row, place);
      if (one.issue) this.suspectsOf.set(one.row, [...(this.suspectsOf.get(one.row) || []), one]);
    });
    this.disagreed = [];
    this.forget();
  }

  forget() {
    this.log = []; // verdicts that hold, in order
    this.marks = new Map(); // row -> right, wrong, unsure
    this.given = new Map(); // field and subject -> value
    this.touched = new Map(); // row -> number of values given there
  }

  load(verdicts) {
    this.forget();
    verdicts.forEach(one => this.add(one));
  }

  field(name) {
    return this.fields.find(field => field.name === name);
  }

  subject(field, row) {
    return `${field.name}\t${field.shared ? `p${this.person[row]}` : row}`;
  }

  add(verdict) {
    this.log.push(verdict);
    if (!verdict.field) {
      this.marks.set(verdict.row, verdict.value);
      return;
    }
    this.given.set(this.subject(this.field(verdict.field), verdict.row), verdict.value);
    this.touched.set(verdict.row, (this.touched.get(verdict.row) || 0) + 1);
  }

  // takes the last verdict back and returns it
  undo() {
    const last = this.log.pop();
    if (!last) return null;
    const subject = one => (one.field ? this.subject(this.field(one.field), one.row) : `\t${one.row}`);
    const before = this.log.findLast(one => one.field === last.field && subject(one) === subject(last));
    const [kept, key] = last.field ? [this.given, subject(last)] : [this.marks, last.row];
    if (before) kept.set(key, before.value);
    else kept.delete(key);
    if (last.field) {
      const left = this.touched.get(last.row) - 1;
      if (left) this.touched.set(last.row, left);
      else this.touched.delete(last.row);
    }
    return last;
  }

  // the class as it came, and the value that this reviewer gave instead, if any
  came(field, row) {
    return field.values[row];
  }

  said(field, row) {
    return this.given.get(this.subject(field, row));
  }

  classOf(field, value) {
    if (!field.numbers || !/^\d+$/.test(value)) return value;
    return field.classes[field.ranges.findIndex(([, high]) => Number(value) <= high)];
  }

  now(field, row) {
    const said = this.said(field, row);
    return said === undefined || said === "unsure" ? this.came(field, row) : this.classOf(field, said);
  }

  // what is suspected of a photo and not taken yet
  suspicions(row) {
    return (this.suspectsOf.get(row) || []).filter(one => this.now(this.field(one.field), row) !== one.suggested);
  }

  isChanged(row) {
    return this.fields.some(field => this.now(field, row) !== this.came(field, row));
  }

  isDecided(row) {
    return this.marks.has(row) || this.touched.has(row);
  }

  isOpen(row) { // wrong, and its right class is not given
    return this.marks.get(row) === "wrong" && !this.touched.has(row) && !this.isChanged(row);
  }

  isMarked(row) {
    const mark = this.marks.get(row);
    return mark === "wrong" || mark === "unsure" || this.touched.has(row);
  }

  decided() {
    let count = this.marks.size;
    for (const row of this.touched.keys()) if (!this.marks.has(row)) count += 1;
    return count;
  }

  rowsWhere(test) {
    const found = [];
    for (let row = 0; row < this.count; row += 1) if (test(row)) found.push(row);
    return found;
  }

  shows(show, row) {
    if (show === "undecided") return !this.isDecided(row);
    if (show === "suspects") return this.suspectsOf.has(row);
    if (show.startsWith("suspects of ")) {
      return (this.suspectsOf.get(row) || []).some(one => show === `suspects of ${one.field}`);
    }
    if (show === "wrong" || show === "unsure" || show === "right") return this.marks.get(row) === show;
    if (show === "changed") return this.isChanged(row);
    if (show === "disagreed") return this.disagreed.some(one => one.row === row);
    return true;
  }

  // rows to look at, in order
  queue(pass, filter) {
    const text = filter.text.trim().toLowerCase();
    const field = filter.field && this.field(filter.field);
    const name = filter.name;
    const holds = row => {
      const now = field && this.now(field, row);
      return field.exclusive ? now === name : now.split(" ").includes(name);
    };
    const rows = this.rowsWhere(row =>
      this.shows(filter.show, row)
      && (filter.show === "disagreed" || pass === "look" || (pass === "marked" ? this.isMarked(row) : this.marks.get(row) === "wrong"))
      && (!field || holds(row))
      && (!text || this.persons[this.person[row]].toLowerCase().includes(text) || this.paths[row].toLowerCase().includes(text)));
    if (filter.order === "suspects" && this.rank.size) {
      const place = row => this.rank.get(row) ?? this.rank.size + this.count + row;
      rows.sort((one, other) => place(one) - place(other));
    }
    if (pass === "name") rows.sort((one, other) => this.isOpen(other) - this.isOpen(one));
    return rows;
  }
}
