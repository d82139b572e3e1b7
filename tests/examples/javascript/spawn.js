// What a worker is told by its parent: PROTOCOL.md, section 10.

import { Socket } from "node:net";

export const EXIT = {
  STOPPED: 0, USAGE: 64, PARAMETERS: 65, REFUSED: 69, ORPHANED: 75, DRIVER: 78,
};
const LINE_BYTES_MAX = 65536;

/** End the process; the reason is the last line of its log. */
export function exit(code, reason) {
  if (reason) process.stderr.write(`jsmemory: ${reason}\n`);
  process.exit(code);
}

/** The settings, taken out of the environment. */
export function settings() {
  const take = (name, fallback) => {
    const value = process.env[`STORAGEBUS_WORKER_${name}`];
    delete process.env[`STORAGEBUS_WORKER_${name}`];
    return value || fallback;
  };
  const number = (name, fallback) => {
    const text = take(name, fallback);
    if (text !== undefined && !/^\d{1,9}(\.\d+)?$/.test(text))
      exit(EXIT.USAGE, `STORAGEBUS_WORKER_${name} is no number: ${text}`);
    return text === undefined ? undefined : Number(text);
  };
  const endpoint = take("ENDPOINT");
  const service = take("SERVICE");
  if (!endpoint || !service)
    exit(EXIT.USAGE, "to be started by storagebus: storagebus up --driver jsmemory");
  return {
    endpoints: endpoint.split(","),
    service,
    cookie: take("COOKIE"),
    slots: number("SLOTS", "16"),
    streams: number("STREAMS", "256"),
    graceMs: number("GRACE_S", "30") * 1000,
    name: take("NAME", "jsmemory"),
    descriptor: number("FD"),
  };
}

/** The driver's parameters, with the secrets that come on the descriptor. */
export async function parameters(descriptor) {
  const secrets = descriptor === undefined ? {} : await readSecrets(descriptor);
  const text = process.argv[2] ?? "-";
  let given;
  try {
    given = JSON.parse(text === "-" ? "{}" : text);
  } catch {
    exit(EXIT.PARAMETERS, "the parameters are not JSON");
  }
  if (typeof given !== "object" || given === null || Array.isArray(given))
    exit(EXIT.PARAMETERS, "the parameters are no JSON map");
  return resolve(given, secrets);
}

function resolve(value, secrets) {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => resolve(item, secrets));
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$secret") {
    if (!Object.hasOwn(secrets, value.$secret))
      exit(EXIT.PARAMETERS, `the secret ${value.$secret} did not come`);
    return secrets[value.$secret];
  }
  return Object.fromEntries(keys.map((key) => [key, resolve(value[key], secrets)]));
}

/** Read the line of secrets; from then on the end of the file ends the process. */
function readSecrets(descriptor) {
  return new Promise((done) => {
    let line = "";
    const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
    pipe.setEncoding("utf8");
    pipe.on("data", (text) => {
      if (line === null) return;
      line += text;
      if (line.length > LINE_BYTES_MAX)
        exit(EXIT.PARAMETERS, "the line of secrets is too long");
      if (!line.includes("\n")) return;
      try {
        done(JSON.parse(line).secrets ?? {});
      } catch {
        exit(EXIT.PARAMETERS, "the secrets are no JSON map");
      }
      line = null;
    });
    pipe.on("close", () => exit(EXIT.ORPHANED, "the parent is gone"));
    pipe.on("error", () => {}); // "close" follows
  });
}
