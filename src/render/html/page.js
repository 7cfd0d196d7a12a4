"use strict";
// All of the page can be read without this: it narrows, moves and repaints, and fetches nothing.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const clusters = [...document.querySelectorAll(".cluster")];
  const form = document.querySelector(".tools");
  const output = document.querySelector(".tools output");
  const none = document.querySelector(".none");
  const count = new Intl.NumberFormat("en-US");
  const counted = (number, noun) => `${count.format(number)} ${noun}${number === 1 ? "" : "s"}`;

  const theme = document.querySelector("#theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme ?? (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
  if (!form) return;

  // What is looked for is read from the page once, when somebody first looks for something.
  let index;
  const read = () => (index ??= clusters.map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
    ids: element.querySelector(".ids").textContent.split(", "),
    kinds: element.dataset.kinds.split(","),
    layers: element.dataset.layers.split("\t"),
  })));

  const hits = (element, ids, wanted) => {
    element.querySelector(".hits")?.remove();
    const found = wanted && ids.length > 1 ? ids.filter((id) => id.toLowerCase().includes(wanted)) : [];
    if (found.length === 0) return;
    const line = document.createElement("p");
    line.className = "hits";
    const few = found.slice(0, 12);
    const name = document.createElement("b");
    name.textContent = few.join(", ");
    const more = found.length - few.length;
    line.append("Found here: ", name, more > 0 ? ` and ${count.format(more)} more` : "");
    element.querySelector(".body").prepend(line);
  };

  const narrow = () => {
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const device = form.device.value.trim().toLowerCase();
    const layer = form.layer.value;
    const kinds = [...form.querySelectorAll("[name=kind]:checked")].map((box) => box.value);
    let shown = 0, twins = 0;
    for (const { element, text, ids, kinds: has, layers } of read()) {
      const fits = words.every((word) => text.includes(word))
        && (device === "" || ids.some((id) => id.toLowerCase().includes(device)))
        && (layer === "" || layers.includes(layer))
        && (kinds.length === 0 || kinds.some((kind) => has.includes(kind)));
      element.hidden = !fits;
      if (!fits) continue;
      shown += 1;
      twins += ids.length;
      hits(element, ids, device || (words.length === 1 ? words[0] : ""));
    }
    none.hidden = shown > 0;
    const of = shown === clusters.length ? "" : `${count.format(shown)} of `;
    output.value = `${counted(twins, "twin")} in ${of}${counted(clusters.length, "group")}`;
  };
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(narrow, 60);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const clear = () => {
    form.reset();
    narrow();
  };
  form.querySelector("#clear").addEventListener("click", clear);

  const move = (step) => {
    const shown = clusters.filter((element) => !element.hidden).map((element) => element.firstElementChild);
    if (shown.length === 0) return;
    const here = shown.indexOf(document.activeElement.closest?.(".cluster")?.firstElementChild);
    const next = here < 0 ? (step > 0 ? 0 : shown.length - 1) : Math.min(Math.max(here + step, 0), shown.length - 1);
    shown[next].focus();
    shown[next].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writes = event.target.matches("input:not([type=checkbox]), select");
    if (event.key === "Escape") {
      clear();
      if (writes) event.target.blur();
    } else if (writes) {
      if (event.key !== "ArrowDown" || event.target.matches("select")) return;
      move(1);
    } else if (event.key === "/") {
      form.search.focus();
      form.search.select();
    } else if (event.key === "j" || event.key === "ArrowDown") {
      move(1);
    } else if (event.key === "k" || event.key === "ArrowUp") {
      move(-1);
    } else {
      return;
    }
    event.preventDefault();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((element) => (element.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((element) => (element.open = false)));
})();
