// The frames of the storagebus protocol: PROTOCOL.md, sections 3, 4 and 7.

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

export const TYPE = {
  HELLO: 1, WELCOME: 2, GOAWAY: 3, PING: 4, PONG: 5, DRAIN: 7, DRAINED: 8,
  OPEN: 16, ACCEPT: 17, DATA: 18, CREDIT: 19, COMMIT: 20, DETACH: 21, CANCEL: 22,
  RESULT: 24, ERROR: 25,
};
export const GOAWAY = {
  UNKNOWN_PEER: 1, VERSION: 2, REFUSED: 3, PROTOCOL: 4, SHUTDOWN: 5,
};
export const WANT = 2;

const HEADER_BYTES = 56;
const LARGE = { stream: 24, offset: 32, limit: 40, epoch: 48 }; // where they stand
const VERSION = 1;
const MAP_BYTES_MAX = 16384;
const PAGE_BYTES_MAX = 16384 - 3; // three are the array's own

/** A frame that breaks the rules of section 3. */
export class ProtocolError extends Error {}

/** The frames of a message; fields that are left out are 0, the map is absent. */
export function encode(message) {
  const { payload = Buffer.alloc(0) } = message;
  const map = message.map === undefined ? Buffer.alloc(0) : pack(message.map);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("SB", "latin1");
  header.writeUInt8(VERSION, 2);
  header.writeUInt8(message.type, 3);
  header.writeUInt16BE(message.flags ?? 0, 4);
  header.writeUInt16BE(message.code ?? 0, 6);
  header.writeUInt32BE(map.length, 8);
  header.writeUInt32BE(payload.length, 12);
  for (const [name, at] of Object.entries(LARGE))
    header.writeBigUInt64BE(BigInt(message[name] ?? 0), at);
  const head = Buffer.concat([header, map]);
  return payload.length ? [head, payload] : [head];
}

/**
 * The message that frames hold. Its maps stay packed, see `unpackMap`: `map` is the
 * peer's, `vouched` the broker's.
 */
export function decode(frames) {
  const [head, payload = Buffer.alloc(0)] = frames;
  if (frames.length > 2 || head.length < HEADER_BYTES)
    throw new ProtocolError("a message is a head and at most one payload");
  if (head.toString("latin1", 0, 2) !== "SB" || head[2] !== VERSION)
    throw new ProtocolError("the header does not start with SB and version 1");
  const mapEnd = HEADER_BYTES + head.readUInt32BE(8);
  if (mapEnd > Math.min(head.length, HEADER_BYTES + MAP_BYTES_MAX))
    throw new ProtocolError("map_length is more than the frame holds, or 16384");
  if (head.readUInt32BE(12) !== payload.length)
    throw new ProtocolError("payload_length is not the length of the payload");
  const large = {};
  for (const [name, at] of Object.entries(LARGE))
    large[name] = Number(head.readBigUInt64BE(at));
  return {
    type: head[3],
    code: head.readUInt16BE(6),
    budgetMs: head.readUInt32BE(16) || 30000,
    ...large,
    map: head.subarray(HEADER_BYTES, mapEnd),
    vouched: head.subarray(mapEnd),
    payload,
  };
}

/** The object that a packed map stands for; an empty one for no bytes. */
export function unpackMap(bytes) {
  if (bytes.length === 0) return {};
  let map;
  try {
    map = unpack(bytes);
  } catch (error) {
    throw new ProtocolError(`the map cannot be decoded: ${error.message}`);
  }
  if (typeof map !== "object" || map === null || Array.isArray(map))
    throw new ProtocolError("a msgpack map is expected");
  return map;
}

/** The entries of a listing as the bytes of its pages. */
export function* pages(entries) {
  let parts = [];
  let size = 0;
  for (const entry of entries) {
    const part = pack(entry);
    if (size + part.length > PAGE_BYTES_MAX) {
      yield page(parts);
      parts = [];
      size = 0;
    }
    parts.push(part);
    size += part.length;
  }
  if (parts.length) yield page(parts);
}

function page(parts) {
  const count = parts.length;
  return Buffer.concat([Buffer.from([0xdc, count >> 8, count & 255]), ...parts]);
}
