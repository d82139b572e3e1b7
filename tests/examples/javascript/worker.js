// A worker process: what it says of itself, and its brokers. PROTOCOL.md, section 5.

import { createHash } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";

import { Link } from "./link.js";
import { API_VERSION, DRIVER } from "./operations.js";
import { exit } from "./spawn.js";

const TICK_MS = 1000;

/** Hosts a store at every broker that the settings name. */
export class Worker {
  constructor(settings, store, parameters) {
    this.settings = settings;
    this.store = store;
    this.draining = false;
    this.delay = monitorEventLoopDelay();
    this.delay.enable();
    const words = [DRIVER, Object.entries(parameters).sort()];
    this.instance = createHash("sha256").update(JSON.stringify(words)).digest("hex");
    this.links = new Set(settings.endpoints.map((at) => new Link(this, at)));
    for (const link of this.links) link.connect();
    setInterval(() => this.links.forEach((link) => link.tick()), TICK_MS);
  }

  hello(boot) {
    const { service, slots, streams, name, cookie } = this.settings;
    return {
      role: "worker", protocol: [1, 1], name, boot, pid: process.pid, features: [],
      service, driver: DRIVER, api_version: API_VERSION, instance: this.instance,
      capabilities: this.store.capabilities, slots, streams, ...(cookie && { cookie }),
    };
  }

  /** Finish the open streams at every broker, then end the process. */
  drain(graceMs = this.settings.graceMs) {
    if (this.draining) return;
    this.draining = true;
    setTimeout(() => this.links.forEach((link) => link.cutOff()), graceMs);
    for (const link of this.links) link.drain();
  }

  /** A link has gone for good; the last one takes the process with it. */
  gone(link, code, reason) {
    this.links.delete(link);
    if (this.links.size === 0) exit(code, reason);
  }
}
