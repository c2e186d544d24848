// Decisions on their way to the server: in order, again and again until they are kept, and in the browser meanwhile.
// One that the server cannot take is put aside, so that it holds no other up.
"use strict";

const TOKEN = document.querySelector("meta[name=token]").content;

async function ask(path, body) {
  const given = { headers: { "X-Token": TOKEN } };
  if (body !== undefined) {
    given.method = "POST";
    given.headers["Content-Type"] = "application/json";
    given.body = JSON.stringify(body);
  }
  const answer = await fetch(path, given);
  if (!answer.ok) {
    const error = new Error((await answer.text()).trim());
    error.status = answer.status;
    throw error;
  }
  return answer.json();
}

function newKey() {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(parts, part => part.toString(16).padStart(8, "0")).join("");
}

class Outbox {
  // told(outbox) hears of every change of waiting, problem (why they wait), denied (the server says so), and refused
  constructor(origin, told) {
    const page = newKey();
    this.prefix = `podium.review.${origin}.`;
    this.mine = this.prefix + page;
    this.aside = `podium.refused.${origin}.${page}`;
    this.refused = []; // since the page is open: {reviewer, verdict, reason}
    this.problem = "";
    this.denied = false;
    this.singly = 0; // how many go one by one, as the server refuses one of them
    this.told = told;
    this.waiting = this.left();
    this.sending = false;
    this.pause = 0;
    this.timer = 0;
  }

  // what an earlier page could not hand in; each has a key, so that nothing counts twice
  left() {
    const found = [];
    for (const name of Object.keys(localStorage).filter(name => name.startsWith(this.prefix))) {
      try {
        found.push(...JSON.parse(localStorage.getItem(name)));
      } catch { /* half a line of a browser that died */ }
      this.adopted = [...(this.adopted || []), name];
    }
    return found;
  }

  keep() {
    try {
      if (this.waiting.length) localStorage.setItem(this.mine, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.mine);
      if (!this.waiting.length) for (const name of this.adopted || []) localStorage.removeItem(name);
    } catch { /* a full or forbidden store: the page still holds them */ }
  }

  push(reviewer, verdict) {
    this.waiting.push({ reviewer, verdict });
    this.keep();
    this.tell("", false);
    this.send();
  }

  tell(problem, denied) {
    this.problem = problem;
    this.denied = denied;
    this.told(this);
  }

  putAside(one, reason) {
    this.refused.push({ ...one, reason });
    try {
      localStorage.setItem(this.aside, JSON.stringify(this.refused));
    } catch { /* as in keep() */ }
  }

  // the first `count` are kept by the server, or put aside
  done(count) {
    this.waiting.splice(0, count);
    this.singly = Math.max(0, this.singly - count);
    this.pause = 0;
    this.keep();
    this.tell("", false);
  }

  async send() {
    if (this.sending || !this.waiting.length) return;
    this.sending = true;
    clearTimeout(this.timer);
    const reviewer = this.waiting[0].reviewer;
    const ended = this.waiting.findIndex(one => one.reviewer !== reviewer);
    const batch = this.waiting.slice(0, Math.min(ended < 0 ? Infinity : ended, this.singly ? 1 : 200));
    try {
      await ask("verdicts", { reviewer, verdicts: batch.map(one => one.verdict) });
      this.done(batch.length);
    } catch (error) {
      if (error.status === 400 && batch.length > 1) {
        this.singly = batch.length;
        this.pause = 0;
      } else if (error.status === 400) {
        this.putAside(batch[0], error.message);
        this.done(1);
      } else {
        const denied = error.status >= 400 && error.status < 500;
        this.pause = Math.min(5000, this.pause * 2 || 300);
        this.tell(denied ? error.message : "the server does not answer", denied);
      }
    }
    this.sending = false;
    if (this.waiting.length) this.timer = setTimeout(() => this.send(), this.pause);
  }
}
