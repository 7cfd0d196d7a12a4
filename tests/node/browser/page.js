// Drives a real browser over a plan's pages and says, a line of JSON a step, what it saw.
//
// usage: node page.js BROWSER PROFILE PAGE LARGE BLOCKED PICTURES
"use strict";

const { chromium } = require("playwright-core");
const { pathToFileURL } = require("node:url");
const path = require("node:path");

const [browserPath, profile, page1, large, blocked, pictures] = process.argv.slice(2);
const say = (step, saw) => console.log(JSON.stringify({ step, saw }));

const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Returns the texts whose contrast with what is behind them is less than WCAG's AA asks for. */
function tooFaint() {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const back = channels(getComputedStyle(at).backgroundColor);
      if (back.length === 3 || back[3] === 1) return back;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.matches("script, style") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, other] = [luminance(channels(style.color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.push(`${node.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}

(async () => {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browserPath,
    args: ARGUMENTS,
    viewport: { width: 1280, height: 900 },
    colorScheme: "light",
    env: { PATH: process.env.PATH, HOME: profile },
  });
  // Nothing but the files themselves is let through, and what was asked for is counted.
  const asked = [];
  await context.route("**/*", (route) => {
    const url = route.request().url();
    if (url.startsWith("file:")) return route.continue();
    asked.push(url);
    return route.abort();
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const wrong = [];
  page.on("console", (message) => wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  const shown = () => page.locator(".cluster:not([hidden])").count();
  const output = () => page.locator(".tools output").textContent();
  const settled = async (wanted) => {
    await page.waitForFunction((wanted) => document.querySelectorAll(".cluster:not([hidden])").length === wanted, wanted, { timeout: 10000 })
      .catch(async () => { throw new Error(`${await shown()} groups are shown, not ${wanted}`); });
    return output();
  };

  await page.goto(pathToFileURL(page1).href);
  const all = await shown();
  say("groups", all);
  const open = () => page.evaluate(() => document.activeElement.parentElement.open);
  say("hostile text", {
    images: await page.locator("img").count(),
    scripts: await page.locator("script").count(),
    isThere: (await page.textContent("main")).includes("<img src=x onerror="),
  });

  // Keyboard first: slash, words, Escape.
  await page.keyboard.press("/");
  say("slash focuses", await page.evaluate(() => document.activeElement.name));
  await page.keyboard.type("press-0003 interval");
  say("search", await settled(1));
  await page.keyboard.press("ArrowDown");
  say("arrow goes to the first", await page.evaluate(() => document.activeElement.tagName));
  const before = await open();
  await page.keyboard.press("Enter");
  say("Enter turns it", before !== (await open()));
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  say("Escape shows all", await settled(all));
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("ArrowDown");
  say("j, j, k, down", await page.evaluate(() => [...document.querySelectorAll(".cluster > summary")].indexOf(document.activeElement)));
  say("focus is seen", await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle));
  await page.keyboard.press("Escape");

  await page.getByLabel("drift", { exact: true }).check();
  say("kind", await settled(1));
  await page.locator("#clear").click();
  await page.getByLabel("Layer of the manifest").selectOption("group oslo");
  say("layer", await settled(2));
  await page.locator("#clear").click();
  await page.getByLabel("Device").fill("press-0042");
  say("device", [await settled(1), await page.locator(".hits").textContent()]);
  await page.getByLabel("Device").fill("nobody");
  await settled(0);
  say("nothing", await page.locator("#changes .none").isVisible());
  await page.locator("#clear").click();
  await settled(all);

  // Every group has an address.
  await page.locator(".cluster > summary").nth(1).click();
  await page.locator(".cluster > summary").nth(1).click();
  say("the address of what was opened", new URL(page.url()).hash);
  await page.getByLabel("Device").fill("thermostat-001");
  await settled(1);
  const led = () => page.evaluate(() => {
    const summary = document.activeElement, { top, bottom } = summary.getBoundingClientRect();
    return {
      to: summary.querySelector(".who")?.textContent,
      open: summary.parentElement.open,
      inSight: top >= 0 && bottom <= innerHeight,
      here: summary.parentElement.querySelector(".hits")?.textContent,
    };
  });
  await page.evaluate(() => { location.hash = "twin=press-0042"; });
  await settled(all);
  say("an address leads to", await led());
  await page.keyboard.press("Control+f");
  say("the browser's own search is left alone", await page.evaluate(() => document.activeElement.name !== "search"));
  await page.goto(pathToFileURL(page1).href);

  const picture = (name, width, height, full = false) => page.setViewportSize({ width, height })
    .then(() => page.screenshot({ path: path.join(pictures, name), fullPage: full }));
  const faint = {};
  await page.evaluate(() => scrollTo(0, 0));
  faint.light = await page.evaluate(tooFaint);
  await picture("plan-light.png", 1280, 900);
  await picture("plan-light-full.png", 1280, 900, true);
  await picture("plan-light-narrow.png", 400, 800, true);
  await page.emulateMedia({ colorScheme: "dark" });
  faint.dark = await page.evaluate(tooFaint);
  await picture("plan-dark.png", 1280, 900);
  await picture("plan-dark-full.png", 1280, 900, true);
  await picture("plan-dark-narrow.png", 400, 800, true);
  await picture("plan-dark-phone.png", 400, 800);
  say("too faint", faint);
  say("wider than a narrow screen", await page.evaluate(() => document.documentElement.scrollWidth > innerWidth));
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await back();
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.locator("#theme").click();
  say("the button turns it light", dark !== (await back()));
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await page.screenshot({ path: path.join(pictures, "plan-print.png"), fullPage: true });
  say("on paper", { fields: await page.locator(".tools input:visible").count(), count: await page.locator(".tools output").isVisible() });
  await page.emulateMedia({ media: "screen" });

  // Without the script all is there.
  const still = await chromium.launch({ executablePath: browserPath, args: ARGUMENTS });
  const plain = await still.newPage({ javaScriptEnabled: false });
  await plain.goto(pathToFileURL(page1).href);
  say("without script", {
    tools: await plain.locator(".tools").isVisible(),
    text: (await plain.locator("body").textContent()).includes("press-0042"),
    groups: await plain.locator(".cluster").count(),
  });
  await plain.goto(pathToFileURL(large).href);
  say("large without script", { groups: await plain.locator(".cluster").count(), note: await plain.locator(".rest").isVisible() });
  const stopped = await still.newPage();
  await stopped.goto(pathToFileURL(blocked).href);
  say("large with its script blocked", {
    groups: await stopped.locator(".cluster").count(),
    note: await stopped.locator(".rest").isVisible() && await stopped.locator(".rest").textContent(),
  });
  await still.close();

  await page.goto(pathToFileURL(large).href);
  await page.screenshot({ path: path.join(pictures, "plan-large.png") });
  say("large", { made: await shown(), said: await output(), elements: await page.evaluate(() => document.querySelectorAll("*").length < 5000) });
  const middle = () => page.waitForFunction(() => document.elementFromPoint(640, 500)?.closest(".cluster"), null, { timeout: 10000 });
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight / 2));
  await middle();
  say("scrolled to the middle", await page.evaluate(() => ({ first: document.querySelector(".cluster .who").textContent, few: document.querySelectorAll(".cluster").length < 500 })));
  await page.screenshot({ path: path.join(pictures, "plan-large-middle.png") });
  await page.keyboard.press("k");
  say("k goes to the last", await led());
  await page.keyboard.press("Control+f");
  say("Control-f searches", await page.evaluate(() => document.activeElement.name));
  await page.keyboard.type("press-04321");
  say("found", await settled(1));
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelectorAll(".cluster").length > 1, null, { timeout: 10000 });
  say("Escape stays where it was", { ...(await led()), said: await output() });
  await page.goto("about:blank");
  await page.goto(`${pathToFileURL(large).href}#twin=press-09876`);
  say("an address leads into the rest", await led());
  await page.screenshot({ path: path.join(pictures, "plan-large-address.png") });
  await page.keyboard.press("/");
  await page.keyboard.type("press-00");
  await page.waitForFunction(() => document.querySelector(".tools output").value.includes(" of "), null, { timeout: 10000 });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  say("printed", { made: await shown(), open: await page.locator(".cluster[open]").count(), said: await output() });

  say("asked the network", asked);
  say("went wrong", wrong);
  await context.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
