// An approver's key in this browser: Ed25519, made here, and never leaving: it signs verdicts, nothing can read it.
const DECISION = "cdb.decision.v1";
const STORE = "keys";
const NAME = "approver";

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function subtle() {
  if (crypto.subtle) return crypto.subtle;
  throw new Error("This page is not secure, so there are no keys: open it on localhost or by https.");
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function withStore(mode, work) {
  const opening = indexedDB.open("cdb-approver", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await answer(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([answer(work(transaction.objectStore(STORE))), done]);
    return result;
  } finally {
    database.close();
  }
}

function kept() {
  return withStore("readonly", (store) => store.get(NAME));
}

async function raw(pair) {
  return subtle().exportKey("raw", pair.publicKey);
}

// RFC 8785 JSON of what a verdict is made of: text, safe integers, true, false, null, lists and objects of these.
export function canonical(value) {
  if (typeof value === "string" && value.isWellFormed()) return JSON.stringify(value);
  if (Number.isSafeInteger(value) || typeof value === "boolean" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const names = Object.keys(value).sort(); // by UTF-16 units, as the RFC wants
    return `{${names.map((name) => `${canonical(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  throw new Error(`Not signed: ${String(value)} has no canonical form.`);
}

// The key's name: 16 hex digits of its SHA-256. null without a key.
export async function keyId() {
  const pair = await kept();
  if (!pair) return null;
  const digest = new Uint8Array(await subtle().digest("SHA-256", await raw(pair)));
  return [...digest.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// This browser's public key, base64url; made the first time, the same ever after.
export async function enrol() {
  if (!(await kept())) {
    const pair = await subtle().generateKey("Ed25519", false, ["sign", "verify"]);
    await navigator.storage.persist(); // else a browser short of disk may drop the key
    try {
      await withStore("readwrite", (store) => store.add(pair, NAME));
    } catch (error) {
      if (error.name !== "ConstraintError") throw error; // another tab was first: its key is this browser's
    }
  }
  return base64url(await raw(await kept()));
}

// The signature, base64url, over a verdict: `bytes` as the desk wants it signed, `shown` the body that the page shows.
export async function sign(bytes, shown) {
  const wanted = new TextEncoder().encode(`${DECISION}\0${canonical(shown)}`);
  if (base64url(wanted) !== bytes) throw new Error("Not signed: the desk asks for something else than this page shows.");
  const own = await keyId();
  if (own !== shown.key_id) throw new Error(`Not signed: it is for key ${shown.key_id}, this browser has ${own ?? "none"}.`);
  const pair = await kept();
  return base64url(await subtle().sign("Ed25519", pair.privateKey, wanted));
}
