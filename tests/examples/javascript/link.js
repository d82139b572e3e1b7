// A broker: the connection, the session and the streams in it. PROTOCOL.md, section 5.

import { randomBytes } from "node:crypto";
import { Dealer } from "zeromq";

import { DRIVER, run } from "./operations.js";
import { EXIT } from "./spawn.js";
import { StorageError } from "./store.js";
import { Stream } from "./streams.js";
import { GOAWAY, ProtocolError, TYPE, decode, encode, unpackMap } from "./wire.js";

const FRAME_BYTES_MAX = 1048576;
const BEAT_MS = 1000;
const SILENT_BEATS = 5;
const LEASE_MS = 3000; // of silence, after which what comes may be old
const UNFENCED = new Set([6, 8, 9]); // put, move, delete
const IDLE_MS = 600000;
const PAUSE_MS = 500;
const LINGER_MS = 500;
const PARTING_MS = 1000;

/** One broker. Each connection to it has a socket and a session of its own. */
export class Link {
  constructor(worker, endpoint) {
    this.worker = worker;
    this.endpoint = endpoint;
    this.boot = randomBytes(16);
    this.proofs = 0;
    this.streams = new Map();
  }

  connect() {
    this.epoch = 0; // until WELCOME
    this.connected = false;
    this.beatMs = BEAT_MS; // until WELCOME says better
    this.proof = 0; // of the PING whose answer says that nothing old follows
    this.heardMs = Date.now();
    this.queue = []; // bounded by the credit that the broker gives
    this.sending = null;
    const socket = new Dealer({
      immediate: true, linger: 0, maxMessageSize: FRAME_BYTES_MAX,
    });
    this.socket = socket;
    socket.events.on("handshake", () => {
      this.connected = true;
      this.#greet();
    });
    socket.events.on("disconnect", () => socket === this.socket && this.restart());
    socket.connect(this.endpoint);
    this.#receive(socket);
  }

  #greet() {
    this.send({ type: TYPE.HELLO, map: this.worker.hello(this.boot) });
  }

  /** The session is over, its uploads are kept; begin another. */
  restart(pauseMs = PAUSE_MS) {
    this.#close();
    if (this.worker.draining) this.worker.gone(this, EXIT.STOPPED);
    else setTimeout(() => this.worker.draining || this.connect(), pauseMs);
  }

  async #receive(socket) {
    for await (const frames of socket) {
      if (socket !== this.socket) return;
      try {
        const message = decode(frames);
        this.#hear();
        this.#handle(message);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        await this.#bye(GOAWAY.PROTOCOL, error.message);
        this.restart();
      }
    }
  }

  /** After a long silence, what comes may have been done elsewhere meanwhile. */
  #hear() {
    const silentMs = Date.now() - this.heardMs;
    this.heardMs = Date.now();
    if (!this.epoch || silentMs <= Math.max(LEASE_MS, 2 * this.beatMs + 1000)) return;
    this.proof = ++this.proofs;
    this.send({ type: TYPE.PING, offset: this.proof });
  }

  send(message) {
    this.queue.push(encode({ ...message, epoch: this.epoch }));
    this.sending ??= this.#flush();
  }

  async #flush() {
    const { socket, queue } = this;
    while (queue.length && !socket.closed)
      await socket.send(queue.shift()).catch(() => {}); // lost: "disconnect" says so
    if (socket === this.socket) this.sending = null;
  }

  async #bye(code, detail) {
    if (!this.socket) return;
    this.socket.linger = LINGER_MS;
    this.send({ type: TYPE.GOAWAY, code, map: { detail } });
    await this.sending;
  }

  #close() {
    for (const stream of this.streams.values()) stream.keep();
    this.streams.clear();
    this.connected = false;
    this.epoch = 0;
    this.socket?.close();
    this.socket = null;
  }

  #handle(message) {
    const { type, epoch, stream } = message;
    if (type === TYPE.GOAWAY) return this.#goaway(message);
    if (type === TYPE.WELCOME && !this.epoch) return this.#welcome(message);
    if (epoch !== this.epoch || !epoch) return;
    if (type === TYPE.PING) return this.#pong(message);
    if (type === TYPE.PONG && message.offset === this.proof) this.proof = 0;
    if (type === TYPE.DRAIN) return this.#drained(message);
    if (type === TYPE.OPEN) return this.#open(message);
    const means = {
      [TYPE.DATA]: "data", [TYPE.CREDIT]: "credit", [TYPE.COMMIT]: "commit",
      [TYPE.DETACH]: "detach", [TYPE.CANCEL]: "cancel",
    }[type];
    const found = this.streams.get(stream);
    if (!means || !found) return; // of a stream that has ended
    found.heardMs = Date.now();
    this.#guard(stream, () => found[means](message));
  }

  #welcome({ epoch, map }) {
    if (!epoch) throw new ProtocolError("WELCOME has no epoch");
    this.epoch = epoch;
    this.beatMs = unpackMap(map).heartbeat_ms;
  }

  #goaway({ code, map }) {
    if (code !== GOAWAY.VERSION && code !== GOAWAY.REFUSED)
      return this.restart(code === GOAWAY.UNKNOWN_PEER ? 0 : PAUSE_MS);
    this.#close();
    this.worker.gone(this, EXIT.REFUSED, `refused: ${unpackMap(map).detail}`);
  }

  #pong({ offset }) {
    const { delay } = this.worker;
    const lag_ms = Math.round(delay.max / 1e6);
    delay.reset();
    const map = { calls: 0, streams: this.streams.size, oldest_ms: 0, lag_ms };
    this.send({ type: TYPE.PONG, offset, map });
  }

  #open(open) {
    const begunMs = performance.now();
    this.#guard(open.stream, () => {
      if (this.streams.size >= this.worker.settings.streams)
        throw new StorageError("BUSY", "too many open streams", { temporary: true });
      if (this.proof && UNFENCED.has(open.code))
        throw new StorageError("UNAVAILABLE", "this may be old", { temporary: true });
      const answer = run(this.worker.store, unpackMap(open.map), this, open);
      const { queued_us = 0 } = unpackMap(open.vouched);
      const driver_us = Math.round((performance.now() - begunMs) * 1000);
      const times = { queued_us, driver_us };
      if (!(answer instanceof Stream))
        return this.finish(open.stream, { ...answer, ...times });
      this.streams.set(open.stream, answer);
      answer.times = times;
      answer.start();
    });
  }

  /** Do something for a stream; what goes wrong with it is the stream's ERROR. */
  #guard(stream, act) {
    try {
      act();
    } catch (error) {
      if (error instanceof StorageError) return this.fail(stream, error);
      if (error instanceof ProtocolError)
        return this.fail(stream, new StorageError("PROTOCOL", error.message));
      console.error(error);
      const facts = { executed: "maybe" };
      this.fail(stream, new StorageError("STORAGE", String(error), facts));
    }
  }

  /** Success; the terminal message of a stream. */
  finish(stream, map, fields = {}) {
    const times = this.streams.get(stream)?.times;
    this.send({ type: TYPE.RESULT, stream, map: { ...map, ...times }, ...fields });
    this.#forget(stream);
  }

  /** Failure; the terminal message of a stream, whose upload is kept. */
  fail(stream, { code, map }) {
    const found = this.streams.get(stream);
    found?.keep();
    const facts = { ...map, ...found?.facts, driver: DRIVER };
    this.send({ type: TYPE.ERROR, stream, code, map: facts });
    this.#forget(stream);
  }

  #forget(stream) {
    this.streams.delete(stream);
    this.#leaveWhenIdle();
  }

  /** Once a second: end what is idle, and see that the broker is there. */
  tick() {
    const before = Date.now() - IDLE_MS;
    for (const [id, { heardMs }] of this.streams)
      if (heardMs < before)
        this.fail(id, new StorageError("DEADLINE_EXCEEDED", "nothing heard for 600 s"));
    const silentMs = Date.now() - this.heardMs;
    if (!this.connected || silentMs < this.beatMs) return;
    if (!this.epoch) this.#greet();
    else if (silentMs < SILENT_BEATS * this.beatMs) this.send({ type: TYPE.PING });
    else this.restart();
  }

  drain() {
    if (!this.epoch) {
      this.#close();
      return this.worker.gone(this, EXIT.STOPPED);
    }
    if (!this.unrouted) this.send({ type: TYPE.DRAIN });
    this.#leaveWhenIdle();
  }

  /** The broker's DRAIN: no OPEN follows it. */
  #drained({ budgetMs }) {
    this.unrouted = true;
    this.worker.drain(budgetMs);
    this.#leaveWhenIdle();
  }

  #leaveWhenIdle() {
    if (this.unrouted && this.streams.size === 0) this.#leave();
  }

  cutOff() {
    this.unrouted = false;
    const facts = { temporary: true, executed: "maybe" };
    for (const id of [...this.streams.keys()])
      this.fail(id, new StorageError("UNAVAILABLE", "the worker ends", facts));
    this.#leave();
  }

  #leave() {
    if (this.leaving) return;
    this.leaving = true;
    // The end of a process loses what the socket still holds; the broker's GOAWAY
    // says that it has read it all.
    this.send({ type: TYPE.DRAINED });
    setTimeout(() => this.#depart(), PARTING_MS);
  }

  async #depart() {
    await this.#bye(GOAWAY.SHUTDOWN, "drained");
    this.#close();
    this.worker.gone(this, EXIT.STOPPED);
  }
}
