// What must work without the page's socket: the theme, dialogs, and the emergency stop.
const root = document.documentElement;

function setTheme(word) {
  if (word === "light" || word === "dark") root.dataset.theme = word;
  else delete root.dataset.theme;
}

setTheme(localStorage.getItem("theme"));

document.addEventListener("change", (event) => {
  const choice = event.target.closest("[data-theme-choice]");
  if (!choice) return;
  localStorage.setItem("theme", choice.value);
  setTheme(choice.value);
});

document.addEventListener("focusin", (event) => {
  const choice = event.target.closest("[data-theme-choice]");
  if (choice) choice.value = root.dataset.theme ?? "system";
});

new MutationObserver((_, observer) => {
  const choice = document.querySelector("[data-theme-choice]");
  if (!choice) return;
  choice.value = root.dataset.theme ?? "system";
  const here = document.querySelector("nav [aria-current]"); // scrollIntoView would move where Tab begins
  if (here) here.parentNode.scrollLeft = here.offsetLeft - here.parentNode.clientWidth / 2;
  observer.disconnect();
}).observe(root, { childList: true, subtree: true });

document.addEventListener("click", (event) => {
  const opens = event.target.closest("[data-open]");
  if (opens) ask(document.getElementById(opens.dataset.open));
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});

function ask(dialog) {
  dialog.querySelector("form").reset();
  dialog.querySelector(".said").textContent = "";
  dialog.querySelector("[type=submit]").hidden = false;
  dialog.querySelector("[data-close]").textContent = "Cancel";
  dialog.showModal();
}

async function stop(form) {
  const said = form.querySelector(".said");
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  said.textContent = "Stopping …";
  said.className = "said";
  try {
    const answer = await fetch(form.dataset.stop, { method: "POST", body: new FormData(form) });
    const told = await answer.json();
    said.textContent = told.says ?? `Not stopped: the desk answered ${answer.status}.`;
    said.classList.add(told.stopped ? "good" : "bad");
    if (told.stopped) {
      button.hidden = true;
      form.querySelector("[data-close]").textContent = "Close";
      form.querySelector("[data-close]").focus();
    }
  } catch (error) {
    said.textContent = `Not stopped: the desk cannot be reached (${error.message}). Use cdb stop on its machine.`;
    said.classList.add("bad");
  }
  button.disabled = false;
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.stop) return;
  event.preventDefault();
  stop(event.target);
});
