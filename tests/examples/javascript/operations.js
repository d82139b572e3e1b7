// What an OPEN asks for: the table of PROTOCOL.md, section 6.

import { StorageError } from "./store.js";
import { Bytes, Download, Pages, Upload } from "./streams.js";

export const DRIVER = "jsmemory";
export const API_VERSION = "1.0";

const KINDS = {
  append: "boolean", destination: "string", expires: "number", if_match: "string",
  length: "number", method: "string", path: "string", start: "number",
  start_after: "string", upload_id: "string",
};

/** Code -> [arguments that must be there, (store, arguments, link, open) -> answer]. */
const OPERATIONS = {
  1: [[], describe],
  2: [["path"], (store, { path }) => store.stat(path)],
  3: [["path"], list],
  4: [["path"], walk],
  5: [["path"], read],
  6: [["path"], (store, { path }, _, { payload }) => store.put(path, payload)],
  7: [["path"], write],
  8: [["path", "destination"], (store, it) => store.move(it.path, it.destination)],
  9: [["path"], (store, { path }) => store.delete(path)],
  10: [["path"], (store, { path }) => store.redirectUrl(path)],
  11: [["path", "upload_id"], (store, it) => store.uploadStatus(it.path, it.upload_id)],
};

/** Carry an OPEN out; the answer is the RESULT's map, or the stream that began. */
export function run(store, given, link, open) {
  const [required, act] = OPERATIONS[open.code] ?? [];
  if (!act) throw new StorageError("UNSUPPORTED_METHOD", `no operation ${open.code}`);
  for (const [key, kind] of Object.entries(KINDS)) {
    const value = given[key] ?? undefined;
    if (value === undefined ? required.includes(key) : typeof value !== kind)
      throw new StorageError("PROTOCOL", `the argument ${key} is to be a ${kind}`);
  }
  return act(store, given, link, open);
}

function describe({ capabilities }) {
  return { driver: DRIVER, api_version: API_VERSION, capabilities };
}

function list(store, { path }, link, open) {
  return new Download(link, open, new Pages(store.list(path)), {});
}

function walk(store, { path, start_after }, link, open) {
  return new Download(link, open, new Pages(store.walk(path, start_after)), {});
}

function read(store, { path, start, length, if_match }, link, open) {
  const { data, identity } = store.read(path, start, length, if_match);
  return new Download(link, open, new Bytes(data), { identity });
}

function write(store, { path, append, upload_id }, link, open) {
  return new Upload(link, open, store, store.open(path, append, upload_id));
}
