#!/usr/bin/env node
// registry-storage-jsmemory: a storagebus driver that keeps its objects in memory.

import { EXIT, exit, parameters, settings } from "./spawn.js";
import { Store } from "./store.js";
import { Worker } from "./worker.js";

let worker;
process.on("SIGTERM", () => {
  if (!worker || worker.draining) exit(EXIT.STOPPED);
  worker.drain();
});
process.on("SIGINT", () => exit(EXIT.STOPPED));

const told = settings();
const given = await parameters(told.descriptor);
let store;
try {
  store = new Store(given);
} catch (error) {
  exit(EXIT.DRIVER, error.message);
}
worker = new Worker(told, store, given);
