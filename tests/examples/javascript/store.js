// Objects and uploads in memory, under the rules of storagebus's driver contract.

import { randomUUID } from "node:crypto";

const CODES = {
  STORAGE: 1, PATH_NOT_FOUND: 10, INVALID_PATH: 11, INVALID_OFFSET: 12,
  INVALID_PARAMETER: 13, UNSUPPORTED_METHOD: 15, PATH_CONFLICT: 16, PRECONDITION: 17,
  UPLOAD_SUPERSEDED: 18, UPLOAD_NOT_FOUND: 19, STORAGE_FULL: 41, BUSY: 43,
  UNAVAILABLE: 50, DEADLINE_EXCEEDED: 60, CANCELLED: 61, DATA_LOSS: 70, PROTOCOL: 81,
};
const COMMITTED_MAX = 4096; // committed uploads that upload_status remembers

/** An error as the protocol carries it; `code` is a name of section 7. */
export class StorageError extends Error {
  constructor(code, detail, facts = {}) {
    super(detail);
    this.code = CODES[code];
    this.map = { detail, temporary: false, executed: "no", ...facts };
  }
}

const missing = (path) =>
  new StorageError("PATH_NOT_FOUND", "there is nothing", { path });

function checkPath(path, root = false) {
  if (root && path === "/") return;
  if (!/^(\/[A-Za-z0-9._-]+)+$/.test(path) || /\/\.\.?(\/|$)/.test(path))
    throw new StorageError("INVALID_PATH", "it is outside the grammar", { path });
}

/** What lies below a directory starts with this. */
const below = (path) => (path === "/" ? "/" : `${path}/`);

/** The paths of the directories above a path, without the root. */
function parents(path) {
  const found = [];
  for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1))
    found.push(path.slice(0, at));
  return found;
}

export class Store {
  #objects = new Map(); // path -> {data, mtimeUs, identity}
  #uploads = new Map(); // upload id -> {id, path, pieces, size, generation}
  #kept = new Map(); // path -> the upload that append=true continues
  #committed = new Map(); // upload id -> {path, identity}, the oldest first
  #used = 0;

  constructor({ maxbytes = 2 ** 30, ...unknown }) {
    for (const name in unknown) throw new TypeError(`there is no parameter ${name}`);
    if (!Number.isSafeInteger(maxbytes) || maxbytes < 1)
      throw new TypeError("maxbytes must be a whole number of bytes above 0");
    this.maxbytes = maxbytes;
    this.capabilities = {
      identity: true, resume: true, shared: false, nonblocking: true,
      object_bytes_max: maxbytes,
    };
  }

  stat(path) {
    checkPath(path, true);
    const object = this.#objects.get(path);
    if (!object && !this.#isDirectory(path)) throw missing(path);
    return this.#info(path);
  }

  /** The direct children's absolute paths. */
  list(path) {
    checkPath(path, true);
    const start = below(path);
    const depth = start.split("/").length;
    const names = new Set();
    for (const key of this.#objects.keys())
      if (key.startsWith(start)) names.add(key.split("/").slice(0, depth).join("/"));
    if (names.size === 0 && path !== "/") throw missing(path);
    return [...names].sort();
  }

  /** Everything below, in the byte order of paths, a directory's as path + "/". */
  walk(path, startAfter = "") {
    checkPath(path, true);
    if (!this.#isDirectory(path)) throw missing(path);
    const after = this.#isDirectory(startAfter) ? below(startAfter) : startAfter;
    const keys = new Set();
    for (const key of this.#objects.keys())
      if (key.startsWith(below(path)))
        for (const one of [key, ...parents(key).map(below)])
          if (one.startsWith(below(path)) && one !== below(path) && one > after)
            keys.add(one);
    return this.#entries([...keys].sort());
  }

  *#entries(keys) {
    for (const key of keys) {
      const path = key.replace(/\/$/, "");
      // What has vanished since the walk began is left out.
      if (path === key ? !this.#objects.has(path) : !this.#isDirectory(path)) continue;
      const info = this.#info(path);
      yield [path, info.size, info.mtime_us, info.is_dir, info.identity];
    }
  }

  read(path, start = 0, length = undefined, ifMatch = undefined) {
    checkPath(path);
    if (start < 0 || (length ?? 0) < 0)
      throw new StorageError("INVALID_OFFSET", "start or length is negative", { path });
    const object = this.#objects.get(path);
    if (!object) throw missing(path);
    if ((ifMatch ?? object.identity) !== object.identity)
      throw new StorageError("PRECONDITION", "it has another identity", { path });
    const end = length === undefined ? undefined : start + length;
    return { data: object.data.subarray(start, end), identity: object.identity };
  }

  put(path, content) {
    checkPath(path);
    this.#refuseConflict(path);
    this.#take(content.length);
    return { identity: this.#place(path, Buffer.from(content)) };
  }

  move(path, destination) {
    checkPath(path);
    checkPath(destination);
    const object = this.#objects.get(path);
    if (!object) throw missing(path);
    if (path === destination) return {};
    this.#refuseConflict(destination);
    this.#objects.delete(path);
    this.#place(destination, object.data, object.mtimeUs);
    return {};
  }

  delete(path) {
    checkPath(path);
    const doomed = (key) => key === path || key.startsWith(below(path));
    const objects = [...this.#objects.keys()].filter(doomed);
    const uploads = [...this.#kept.keys()].filter(doomed);
    if (objects.length + uploads.length === 0) throw missing(path);
    for (const key of objects) this.#remove(key);
    for (const key of uploads) this.#forget(this.#kept.get(key));
    return {};
  }

  redirectUrl(path) {
    checkPath(path);
    return { url: null };
  }

  /** Open an upload: a writer, to be handed to the methods below. */
  open(path, append = false, uploadId = undefined) {
    checkPath(path);
    let upload = append && this.#kept.get(path);
    if (uploadId) upload = this.#uploads.get(uploadId);
    if (uploadId && upload?.path !== path)
      throw new StorageError("UPLOAD_NOT_FOUND", `no upload ${uploadId}`, { path });
    if (!upload) {
      this.#refuseConflict(path);
      const object = append && this.#objects.get(path);
      upload = { id: randomUUID(), path, pieces: [], size: 0, generation: 0 };
      this.#uploads.set(upload.id, upload);
      if (object) this.#add(upload, object.data);
    }
    upload.generation += 1; // fences off whoever held it
    return { upload, generation: upload.generation };
  }

  write(writer, data) {
    this.#add(this.#claimed(writer), data);
  }

  commit(writer) {
    const upload = this.#claimed(writer);
    this.#refuseConflict(upload.path);
    const data = Buffer.concat(upload.pieces, upload.size);
    this.#forget(upload);
    this.#take(data.length);
    const identity = this.#place(upload.path, data);
    this.#committed.set(upload.id, { path: upload.path, identity });
    if (this.#committed.size > COMMITTED_MAX)
      this.#committed.delete(this.#committed.keys().next().value);
    return identity;
  }

  /** End a writer and keep its upload; nothing, when it no longer holds it. */
  close(writer) {
    if (!this.#holds(writer)) return;
    const { upload } = writer;
    const other = this.#kept.get(upload.path);
    if (other && other !== upload) this.#forget(other);
    this.#kept.set(upload.path, upload);
  }

  cancel(writer) {
    if (this.#holds(writer)) this.#forget(writer.upload);
  }

  uploadStatus(path, uploadId) {
    checkPath(path);
    const upload = this.#uploads.get(uploadId);
    if (upload?.path === path) return { state: "open", durable: upload.size };
    const done = this.#committed.get(uploadId);
    if (done?.path !== path) return { state: "unknown", durable: 0 };
    return { state: "committed", durable: 0, identity: done.identity };
  }

  #isDirectory(path) {
    if (path === "/") return true;
    const start = below(path);
    for (const key of this.#objects.keys()) if (key.startsWith(start)) return true;
    return false;
  }

  #info(path) {
    const object = this.#objects.get(path);
    if (!object) return { path, size: 0, mtime_us: null, is_dir: true, identity: null };
    const { data, mtimeUs, identity } = object;
    return { path, size: data.length, mtime_us: mtimeUs, is_dir: false, identity };
  }

  #refuseConflict(path) {
    const object = parents(path).find((parent) => this.#objects.has(parent));
    if (object || this.#isDirectory(path)) {
      const why = object ? `${object} is an object` : `${path} is a directory`;
      throw new StorageError("PATH_CONFLICT", why, { path });
    }
  }

  /** Put counted bytes in the place of what is there. */
  #place(path, data, mtimeUs = Date.now() * 1000) {
    const old = this.#objects.get(path);
    if (old) this.#used -= old.data.length;
    const identity = randomUUID();
    this.#objects.set(path, { data, mtimeUs, identity });
    return identity;
  }

  #remove(path) {
    this.#used -= this.#objects.get(path).data.length;
    this.#objects.delete(path);
  }

  #take(count) {
    if (this.#used + count > this.maxbytes)
      throw new StorageError("STORAGE_FULL", `the store holds ${this.maxbytes} bytes`);
    this.#used += count;
  }

  #add(upload, data) {
    this.#take(data.length);
    upload.pieces.push(data);
    upload.size += data.length;
  }

  #forget(upload) {
    this.#used -= upload.size;
    this.#uploads.delete(upload.id);
    if (this.#kept.get(upload.path) === upload) this.#kept.delete(upload.path);
  }

  #holds({ upload, generation }) {
    return this.#uploads.has(upload.id) && upload.generation === generation;
  }

  #claimed(writer) {
    const { id, path } = writer.upload;
    if (this.#holds(writer)) return writer.upload;
    throw new StorageError("UPLOAD_SUPERSEDED", `upload ${id} was claimed`, { path });
  }
}
