// Deciding: this browser's key, what a proposal asks, and the signature over exactly what the dialog shows.
const root = document.documentElement;
const LOOK_EVERY_MS = 2000; // until this browser's key is enrolled

let asked = null; // what the open dialog is about: { proposal, verdict, question }
let made = false; // this browser has a key

function approver() {
  return import(document.querySelector("script[data-approver]").dataset.approver);
}

async function post(what, content) {
  const where = document.querySelector("[data-deciding]").dataset.deciding;
  const sent = { method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } };
  const answer = await fetch(`${where}/${what}`, sent).catch((error) => {
    throw new Error(`The desk cannot be reached (${error.message}).`);
  });
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  throw Object.assign(new Error(told.says ?? `The desk answered ${answer.status}.`), { code: told.code });
}

async function sha256(text) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -- this browser's key

async function standing() {
  const { keyId, enrol } = await approver();
  const id = await keyId();
  made = id !== null;
  if (!made) return { says: "This browser has no key. One that is made here never leaves it, and nothing can read it." };
  const { approvers, environment } = await post("approvers", {});
  const own = approvers.find((one) => one.key_id === id);
  if (own?.held) return { decides: true, says: `Key ${id} of ${own.name} decides in environment ${environment}.` };
  if (own) return { says: `Key ${id} of ${own.name} was revoked and decides nothing.` };
  return { says: `Key ${id} is not enrolled in environment ${environment}: it decides nothing yet.`, key: await enrol() };
}

async function look() {
  const card = document.querySelector("[data-browser-key]");
  if (!card) return;
  const { says, key, decides } = await standing().catch((error) => ({ says: error.message }));
  root.toggleAttribute("data-decides", Boolean(decides));
  const line = card.querySelector("[data-says]");
  if (line.textContent !== says) line.textContent = says;
  card.querySelector("[data-make-key]").hidden = made;
  const unenrolled = card.querySelector(".unenrolled");
  unenrolled.hidden = !key;
  if (key && unenrolled.querySelector(".public-key").textContent !== key) {
    unenrolled.querySelector(".public-key").textContent = key;
    unenrolled.querySelector(".command").textContent =
      `cdb approver enrol ${card.dataset.browserKey} --public-key=${key}`;
  }
}

async function make(button) {
  button.disabled = true;
  const failed = await approver().then(({ enrol }) => enrol()).then(() => null, (error) => error.message);
  await look();
  if (failed) document.querySelector("[data-browser-key] [data-says]").textContent = failed;
  button.disabled = false;
}

async function watch() {
  if (made && !document.hidden && !root.hasAttribute("data-decides")) await look();
  setTimeout(watch, LOOK_EVERY_MS);
}

// -- the dialog

function part(name) {
  return document.querySelector(`#decide-dialog [data-says="${name}"]`);
}

function say(words, mood = "") {
  const said = document.querySelector("#decide-dialog .said");
  said.textContent = words;
  said.className = `said ${mood}`;
}

function submitter() {
  return document.querySelector("#decide-dialog [type=submit]");
}

async function open({ proposal, verdict }) {
  const dialog = document.getElementById("decide-dialog");
  const approves = verdict === "approved";
  const mine = { proposal, verdict };
  asked = mine;
  dialog.querySelector("form").reset();
  for (const one of dialog.querySelectorAll("[data-says]")) one.textContent = "";
  part("heading").textContent = `${approves ? "Approve" : "Reject"} ${proposal}?`;
  part("reason-label").textContent = approves ? "Reason, if you like" : "Reason, which stands in the log";
  dialog.querySelector("[name=reason]").required = !approves;
  dialog.querySelector("[name=reason]").disabled = false;
  dialog.querySelector("[data-close]").textContent = "Cancel";
  submitter().hidden = false;
  submitter().textContent = approves ? "Sign and approve" : "Sign and reject";
  submitter().className = approves ? "primary" : "danger full";
  say("Asking the desk …");
  dialog.showModal();
  await present(mine, "");
}

// What governance asks now; the signature is possible once the page shows it.
async function present(mine, notice) {
  submitter().disabled = true;
  try {
    const view = await post("question", { proposal: mine.proposal });
    if (asked !== mine) return;
    if (!view.question) throw new Error(`${mine.proposal} is ${view.state}: there is nothing to decide.`);
    mine.question = view.question;
    const expires = view.expires_at.slice(0, 19).replace("T", " ");
    part("notice").textContent = notice;
    part("shown").textContent = view.shown;
    part("terms").textContent = `Environment ${view.question.environment}, expires ${expires} UTC, `
      + `base ${view.question.base}, arguments ${view.question.args_sha256.slice(0, 16)}`;
    part("who").textContent = `In the words of ${view.actor}, not of the desk`;
    part("words").textContent = [view.reason, ...view.effects_expected].join("\n");
    await refuseOther(mine);
    if (asked !== mine) return;
    say("");
    submitter().disabled = false;
  } catch (error) {
    if (asked === mine) say(error.message, "bad");
  }
}

// Throws unless the text on the page is the one whose hash is asked about.
async function refuseOther({ question, proposal }) {
  if (question.proposal === proposal && (await sha256(part("shown").textContent)) === question.shown_sha256) return;
  throw new Error("Not signed: what this page shows is not what the desk asks about.");
}

async function signed(mine, reason) {
  await refuseOther(mine);
  const { question, verdict } = mine;
  const { keyId, sign } = await approver();
  const body = { ...question, verdict, reason, key_id: await keyId(), signed_at_ns: `${Date.now()}000000` };
  const { bytes } = await post("body", body);
  return { body, signature: await sign(bytes, body) };
}

async function decide(form) {
  const mine = asked;
  const field = form.querySelector("[name=reason]");
  submitter().disabled = true;
  say("Signing …");
  try {
    const receipt = await post("verdict", { signed: await signed(mine, field.value.trim()) });
    if (asked !== mine) return;
    const next = receipt.next_step === "nothing" ? "" : ` Next: ${receipt.next_step}.`;
    say(`${mine.proposal} is ${receipt.state.replaceAll("_", " ")}.${next}`, "good");
    submitter().hidden = true;
    field.disabled = true;
    form.querySelector("[data-close]").textContent = "Close";
    form.querySelector("[data-close]").focus();
  } catch (error) {
    if (asked !== mine) return;
    submitter().disabled = false;
    if (error.code === "stale") {
      await present(mine, "Not signed for: what it changes has moved meanwhile. This is how it stands now, look at it again.");
    } else {
      say(error.message, "bad");
    }
  }
}

document.addEventListener("click", (event) => {
  const makes = event.target.closest("[data-make-key]");
  const decides = event.target.closest("[data-verdict]");
  if (makes) make(makes);
  if (decides) open(decides.dataset);
});

document.addEventListener("submit", (event) => {
  if (event.target.dataset.deciding === undefined) return;
  event.preventDefault();
  const field = event.target.querySelector("[name=reason]");
  if (field.required && !field.value.trim()) say("Say why: a rejection has its reason.", "bad");
  else decide(event.target);
});

document.addEventListener("visibilitychange", () => document.hidden || look());

new MutationObserver((_, observer) => {
  if (!document.querySelector("[data-browser-key]")) return;
  observer.disconnect();
  look().then(watch);
}).observe(root, { childList: true, subtree: true });
