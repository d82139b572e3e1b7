// One operation each: PROTOCOL.md, section 6. The store never waits, so a message is
// answered before the next one is looked at, and no operation outlives its budget.

import { StorageError } from "./store.js";
import { TYPE, WANT, pages } from "./wire.js";

const PIECE_BYTES = 262144;
const WINDOW_BYTES = 1048576;

/** A stream; what a message means is up to the kind of stream. */
export class Stream {
  constructor(link, open) {
    this.link = link;
    this.id = open.stream;
    this.heardMs = Date.now();
    this.facts = {}; // for an ERROR
  }
  send(type, fields) {
    this.link.send({ type, stream: this.id, ...fields });
  }
  credit() {}
  data() {}
  commit() {}
  detach() {
    this.cancel();
  }
  cancel() {
    this.link.fail(this.id, new StorageError("CANCELLED", "nobody waits for it"));
  }
  keep() {}
}

/** What a download sends: bytes of an object, in pieces that use all the room. */
export class Bytes {
  constructor(data) {
    this.data = data;
  }
  fits(room) {
    return room > 0 || this.data.length === 0;
  }
  take(room) {
    const piece = this.data.subarray(0, Math.min(room, PIECE_BYTES));
    this.data = this.data.subarray(piece.length);
    return [piece, this.data.length === 0];
  }
}

/** What a download sends: entries of a listing, in pages that are sent whole. */
export class Pages {
  constructor(entries) {
    this.rest = pages(entries);
    this.page = this.rest.next().value ?? Buffer.alloc(0);
  }
  fits(room) {
    return this.page.length <= room;
  }
  take() {
    const piece = this.page;
    this.page = this.rest.next().value;
    return [piece, this.page === undefined];
  }
}

export class Download extends Stream {
  constructor(link, open, source, map) {
    super(link, open);
    this.source = source;
    this.map = map;
    this.sent = 0;
    this.limit = open.limit;
    this.accepted = false;
  }
  credit({ limit }) {
    this.limit = Math.max(this.limit, limit);
    this.start();
  }
  /** Send as much as the limit allows. */
  start() {
    while (this.source.fits(this.limit - this.sent)) {
      const offset = this.sent;
      const [payload, last] = this.source.take(this.limit - offset);
      if (last) return this.link.finish(this.id, this.map, { offset, payload });
      this.#accept();
      this.sent += payload.length;
      const stuck = !this.source.fits(this.limit - this.sent);
      this.send(TYPE.DATA, { offset, payload, flags: stuck ? WANT : 0 });
    }
    this.#accept();
  }
  #accept() {
    if (!this.accepted) this.send(TYPE.ACCEPT, { map: this.map });
    this.accepted = true;
  }
}

export class Upload extends Stream {
  constructor(link, open, store, writer) {
    super(link, open);
    this.store = store;
    this.writer = writer;
    this.received = 0;
    this.facts = { durable: 0 }; // nothing survives the process
  }
  start() {
    const { upload, generation } = this.writer;
    const map = { size: upload.size, durable: 0, upload_id: upload.id, generation };
    this.send(TYPE.ACCEPT, { map, limit: WINDOW_BYTES });
  }
  data({ offset, payload }) {
    if (offset < this.received) return; // a repetition
    this.#expect(offset);
    this.store.write(this.writer, payload);
    this.received += payload.length;
    const limit = this.received + WINDOW_BYTES;
    this.send(TYPE.CREDIT, { map: { durable: 0 }, offset: this.received, limit });
  }
  commit({ offset }) {
    this.#expect(offset);
    const identity = this.store.commit(this.writer);
    this.#finish({ identity });
  }
  detach({ offset }) {
    this.#expect(offset);
    this.keep();
    this.#finish({});
  }
  cancel() {
    this.store.cancel(this.writer);
    super.cancel();
  }
  /** What becomes of the upload when its stream ends without a commit. */
  keep() {
    this.store.close(this.writer);
  }
  #expect(offset) {
    if (offset === this.received) return;
    const detail = `${this.received} bytes came, the sender is at ${offset}`;
    throw new StorageError("DATA_LOSS", detail, { temporary: true });
  }
  #finish(map) {
    const { size } = this.writer.upload;
    this.link.finish(this.id, { size, durable: 0, ...map });
  }
}
