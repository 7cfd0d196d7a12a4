// Opens pages of plans in a real browser and says, a line of JSON a page, what the browser's own clock had for each round: when it
// first painted, when all was there, and how long it took from an input to the frame that shows what was found: once as soon as the page
// is loaded, and once half a second later.
//
// usage: node page.js BROWSER ROUNDS PAGE...
"use strict";

const { chromium } = require("playwright-core");
const { pathToFileURL } = require("node:url");

const [executablePath, rounds, ...pages] = process.argv.slice(2);

/** Runs in the page: the milliseconds from an input to the frame that shows what came of it. */
const answer = (word) => new Promise((done) => {
  const field = document.querySelector(".tools [name=search]");
  field.value = word;
  const begun = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
});

const opened = async (browser, url) => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(url);
  const firstSearch = await page.evaluate(answer, "nowhere");
  const found = await page.evaluate(async () => {
    await new Promise((done) => setTimeout(done, 500));
    const [navigation] = performance.getEntriesByType("navigation");
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const groups = document.querySelector(".tools output").value.match(/([\d,]+) groups?$/)[1];
    return { painted: paint.startTime, loaded: navigation.loadEventEnd, groups: Number(groups.replace(",", "")) };
  });
  const search = await page.evaluate(answer, "press-00007");
  await page.evaluate(answer, "");
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  await page.close();
  return { ...found, firstSearch, search, elements };
};

(async () => {
  const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
  for (const file of pages) {
    const seen = [];
    for (let round = 0; round < Number(rounds); round += 1) seen.push(await opened(browser, pathToFileURL(file).href));
    console.log(JSON.stringify(seen));
  }
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
