"use strict";
// All of the page can be read without this: it narrows, moves and repaints, and fetches nothing.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  const theme = document.querySelector("#theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme ?? (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  let whole = () => {};
  let closed = [];
  addEventListener("beforeprint", () => {
    whole();
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((element) => (element.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((element) => (element.open = false)));

  const form = document.querySelector(".tools");
  if (!form) return;
  const output = form.querySelector("output");
  const changes = document.querySelector("#changes");
  const none = changes.querySelector(".none");
  const count = new Intl.NumberFormat("en-US");
  const counted = (number, noun) => `${count.format(number)} ${noun}${number === 1 ? "" : "s"}`;

  // Of a long plan most groups are text to a browser that runs scripts, and become elements when somebody comes near them.
  const groups = [...changes.querySelectorAll(".cluster")].map((element) => ({ html: element.outerHTML, element }));
  for (const rest of changes.querySelectorAll("noscript")) {
    groups.push(...rest.textContent.split("\n\n").map((html) => ({ html })));
  }
  const template = document.createElement("template");
  const elementOf = (group) => {
    if (!group.element) {
      template.innerHTML = group.html;
      group.element = template.content.firstElementChild;
    }
    return group.element;
  };

  const CHARACTERS = { lt: "<", gt: ">", amp: "&", quot: "\"", "#39": "'", rarr: "→" };
  const decoded = (text) => text.replace(/&(lt|gt|amp|quot|#39|rarr);/g, (_, name) => CHARACTERS[name]);
  /** Finds out once what a group is looked for by. */
  const read = (group) => {
    if (group.text === undefined) {
      const of = (pattern) => decoded(pattern.exec(group.html)?.[1] ?? "");
      group.text = decoded(group.html.replace(/<(?:"[^"]*"|[^">])*>/g, "")).toLowerCase();
      group.kinds = of(/ data-kinds="([^"]*)"/).split(",");
      group.layers = of(/ data-layers="([^"]*)"/).split("\t");
      group.ids = (of(/ class="ids">([^<]*)/) || of(/ class="who">([^<]*)/)).split(", ");
    }
    return group;
  };
  /** Does so a little at a time, lest who searches or scrolls has to wait for it. */
  const readOn = (at = 0) => {
    const end = performance.now() + 8;
    while (at < groups.length && performance.now() < end) read(groups[at++]);
    if (at < groups.length) setTimeout(readOn, 0, at);
  };

  /** Says in a group of many which of its twins is what was looked for. */
  const tell = (group, wanted) => {
    const element = elementOf(group);
    element.querySelector(".hits")?.remove();
    const found = wanted && group.ids.length > 1 ? group.ids.filter((id) => id.toLowerCase().includes(wanted)) : [];
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

  // The groups that fit stand in parts, each as high as its groups are when closed until it is filled.
  const PART = 50;
  let shown = [], wanted = "", parts = [];
  const fill = (part) => {
    if (part.childElementCount > 0) return;
    const at = parts.indexOf(part) * PART;
    const here = shown.slice(at, at + PART);
    here.forEach((group) => tell(group, wanted));
    part.append(...here.map(elementOf));
    part.style.height = "";
    near.unobserve(part);
  };
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => fill(entry.target)),
    { rootMargin: "1000px 0px" },
  );
  whole = () => parts.forEach(fill);
  const focused = () => shown.findIndex((group) => group.element?.contains(document.activeElement));
  const focus = (index) => {
    fill(parts[Math.floor(index / PART)]);
    const summary = shown[index].element.firstElementChild;
    summary.focus({ preventScroll: true });
    summary.scrollIntoView({ block: "nearest" });
  };
  const show = (list) => {
    const held = shown[focused()];
    near.disconnect();
    shown = list;
    parts = [];
    for (let at = 0; at < list.length; at += PART) {
      parts.push(document.createElement("div"));
    }
    changes.replaceChildren(...parts, none);
    if (parts.length > 0) {
      fill(parts[0]);
      const border = 2, margin = 8;
      const height = list[0].element.firstElementChild.offsetHeight + border + margin;
      parts.slice(1).forEach((part, index) => {
        part.style.height = `${Math.min(PART, list.length - (index + 1) * PART) * height}px`;
        near.observe(part);
      });
    }
    const index = held ? shown.indexOf(held) : -1;
    if (index >= 0) focus(index);
  };

  const narrow = () => {
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const device = form.device.value.trim().toLowerCase();
    const layer = form.layer.value;
    const kinds = [...form.querySelectorAll("[name=kind]:checked")].map((box) => box.value);
    const list = groups.map(read).filter((group) => words.every((word) => group.text.includes(word))
      && (device === "" || group.ids.some((id) => id.toLowerCase().includes(device)))
      && (layer === "" || group.layers.includes(layer))
      && (kinds.length === 0 || kinds.some((kind) => group.kinds.includes(kind))));
    wanted = device || (words.length === 1 ? words[0] : "");
    show(list);
    none.hidden = list.length > 0;
    const twins = list.reduce((sum, group) => sum + group.ids.length, 0);
    const of = list.length === groups.length ? "" : `${count.format(list.length)} of `;
    output.value = `${counted(twins, "twin")} in ${of}${counted(groups.length, "group")}`;
  };
  form.addEventListener("input", narrow);
  form.addEventListener("submit", (event) => event.preventDefault());
  const clear = () => {
    form.reset();
    narrow();
  };
  form.querySelector("#clear").addEventListener("click", clear);

  const search = () => {
    form.search.focus();
    form.search.select();
  };
  const move = (step) => {
    if (shown.length === 0) return;
    const here = focused();
    focus(here < 0 ? (step > 0 ? 0 : shown.length - 1) : Math.min(Math.max(here + step, 0), shown.length - 1));
  };
  document.addEventListener("keydown", (event) => {
    // The browser's own search finds elements alone. Asked for once more, it comes.
    const finds = (event.ctrlKey || event.metaKey) && event.key === "f";
    if (finds && document.activeElement !== form.search && parts.some((part) => part.childElementCount === 0)) {
      search();
      event.preventDefault();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writes = event.target.matches("input:not([type=checkbox]), select");
    if (event.key === "Escape") {
      clear();
      if (writes) event.target.blur();
    } else if (writes) {
      if (!["ArrowDown", "Enter"].includes(event.key) || event.target.matches("select")) return;
      move(1);
    } else if (event.key === "/") {
      search();
    } else if (event.key === "j" || event.key === "ArrowDown") {
      move(1);
    } else if (event.key === "k" || event.key === "ArrowUp") {
      move(-1);
    } else {
      return;
    }
    event.preventDefault();
  });

  // The address names the group that was opened last, by the twin of it that was asked for or its first.
  const PREFIX = "#twin=";
  changes.addEventListener("click", (event) => {
    const element = event.target.closest(".cluster > summary")?.parentElement;
    if (element && !element.open) history.replaceState(null, "", `#${encodeURIComponent(element.id).replace("%3D", "=")}`);
  });
  const follow = () => {
    if (!location.hash.startsWith(PREFIX)) return;
    let id = location.hash.slice(PREFIX.length);
    try {
      id = decodeURIComponent(id);
    } catch {
      // An id may have a percent sign that stands for itself.
    }
    const group = groups.find((group) => read(group).ids.includes(id));
    if (!group) return;
    if (!shown.includes(group)) clear();
    focus(shown.indexOf(group));
    group.element.open = true;
    tell(group, id.toLowerCase());
    group.element.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", follow);
  // Not earlier: the browser looks for what the address names as well, and takes the focus away.
  addEventListener("load", follow);

  show(groups);
  setTimeout(readOn);
})();
