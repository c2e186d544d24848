// Photos as the browser holds them: those that come next are fetched and decoded before they are asked for.
"use strict";

const AHEAD = 8;
const BEHIND = 3;
const SIDES = [128, 512, 1024, 1536, 2048, 4096]; // as the server makes them

class Gallery {
  constructor() {
    this.held = new Map(); // address -> shown
    this.channel = "";
    this.side = 1024;
  }

  measure(stage) {
    const wanted = Math.max(stage.clientWidth, stage.clientHeight) * (devicePixelRatio || 1);
    this.side = SIDES.find(side => side >= wanted * 0.85) || 4096;
  }

  address(row, side = this.side) {
    const channel = this.channel ? `&channel=${this.channel}` : "";
    return `photo/${row}?side=${side}${channel}&token=${TOKEN}`;
  }

  // {address, image, ready, done, fault}: ready is a promise that never fails; fault says why there is no image
  get(row, side = this.side) {
    const address = this.address(row, side);
    if (this.held.has(address)) return this.held.get(address);
    const image = new Image();
    image.decoding = "sync";
    image.alt = "";
    image.draggable = false;
    const shown = { address, image, fault: "", done: false };
    image.src = address;
    shown.ready = image.decode().catch(() => this.reason(address)).then(fault => {
      shown.fault = fault || "";
      shown.done = true;
      if (fault) this.held.delete(address); // asked for again: it may be mended, or the server back
    });
    this.held.set(address, shown);
    return shown;
  }

  async reason(address) {
    try {
      const answer = await fetch(address);
      return answer.ok ? "the browser cannot show it" : (await answer.text()).trim();
    } catch {
      return "the server does not answer; the photo comes once it is back";
    }
  }

  // fetches what stands around `place` in the queue, and lets go of what is far
  prefetch(queue, place) {
    const near = queue.slice(Math.max(0, place - BEHIND), place + AHEAD + 1);
    const wanted = new Set(near.map(row => this.address(row)));
    for (const [address, shown] of this.held) {
      if (!wanted.has(address) && this.held.size > 40 && shown.done) this.held.delete(address);
    }
    queue.slice(place, place + AHEAD + 1).forEach(row => this.get(row));
    near.forEach(row => this.get(row));
  }
}
