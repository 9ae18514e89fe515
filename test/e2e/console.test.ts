import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import type { Browser, Page } from "playwright-core";
import { findChromium } from "../../tools/services.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";
import { excessWidth, openBrowser } from "./console-world.ts";

const chromiumPath = findChromium();
const skip = chromiumPath ? false : "skipped: no Chromium on this machine (apt-get install chromium)";

describe("the console in a browser", { skip }, () => {
  let program: Program;
  let browser: Browser;

  before(async () => {
    program = await runProgram({ script: ["examples/shop/start.ts"], env: { SHOP_RATE: "20" } });
    browser = await openBrowser(chromiumPath ?? "");
    await eventually(async () => {
      const { items } = (await (await fetch(`${program.address}/v1/views`)).json()) as {
        items: { state: { kind: string } }[];
      };
      return items.length === 3 && items.every((view) => view.state.kind === "live") ? true : undefined;
    });
  });

  after(async () => {
    await browser?.close();
    await program?.[Symbol.asyncDispose]();
  });

  async function open(path: string): Promise<{ page: Page; errors: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(`${program.address}/${path}`);
    return { page, errors };
  }

  test("the overview shows the source streaming, its topics and its live views", async () => {
    const { page, errors } = await open("");
    await page.getByRole("link", { name: /shop.*streaming/s }).waitFor();
    await page.getByRole("link", { name: /shop\.public\.orders/ }).waitFor();
    await page.getByRole("link", { name: /order_cards.*live/s }).waitFor();
    assert.deepEqual(errors, []);
    await page.close();
  });

  test("a row that is changed in the shop's database changes in the page", async () => {
    const { page, errors } = await open("#/views/category_sales");
    await page.getByText("live", { exact: true }).first().waitFor();
    const running = JSON.parse(readFileSync(join(program.data, "running.json"), "utf8"));
    const shop = new pg.Client({ connectionString: `postgres://shop:shop@127.0.0.1:${running.store.port}/shop` });
    await shop.connect();
    try {
      await shop.query("update products set category = 'Renamed by a test' where category = 'Paper'");
    } finally {
      await shop.end();
    }
    await page.getByRole("cell", { name: "Renamed by a test" }).waitFor();
    assert.equal(await page.getByRole("cell", { name: "Paper", exact: true }).count(), 0);
    assert.deepEqual(errors, []);
    await page.close();
  });

  test("a topic's tail shows events as they are committed, and pauses", async () => {
    const { page, errors } = await open("#/topics/shop.public.orders");
    await page.locator("tr.event").nth(2).waitFor();
    await page.keyboard.press("p");
    await page.getByText("paused").waitFor();
    assert.deepEqual(errors, []);
    await page.close();
  });

  test("rooms are reached by keyboard", async () => {
    const { page } = await open("");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    for (const [keys, heading] of [
      ["gv", "Views"],
      ["gt", "Topics"],
      ["gs", "Sources"],
      ["gr", "Schemas"],
      ["go", "Overview"],
    ] as const) {
      for (const key of keys) await page.keyboard.press(key);
      await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.close();
  });

  test("no page is wider than the window at three widths", async () => {
    for (const path of [
      "",
      "#/views",
      "#/views/order_cards",
      "#/topics",
      "#/topics/shop.public.orders",
      "#/sources",
      "#/sources/shop",
    ]) {
      const { page } = await open(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.locator(".loading").first().waitFor({ state: "detached" });
      for (const width of [1360, 800, 375]) {
        await page.setViewportSize({ width, height: 800 });
        const excess = await excessWidth(page);
        assert.ok(excess <= 0, `${path || "overview"} is ${excess} pixels too wide at ${width}`);
      }
      await page.close();
    }
  });

  test("nothing jumps while figures and rows change", async () => {
    for (const path of ["", "#/views/category_sales"]) {
      const { page } = await open(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page
        .locator(path === "" ? "a.card" : "td.fresh")
        .first()
        .waitFor();
      const shifts = await page.evaluate(
        () =>
          new Promise<number>((resolve) => {
            let sum = 0;
            const observer = new PerformanceObserver((list) => {
              for (const entry of list.getEntries()) sum += (entry as PerformanceEntry & { value: number }).value;
            });
            observer.observe({ type: "layout-shift" });
            let frames = 0;
            const next = () => (++frames < 150 ? requestAnimationFrame(next) : resolve(sum));
            requestAnimationFrame(next);
          }),
      );
      assert.ok(shifts < 0.02, `${path || "overview"} jumps: ${shifts}`);
      await page.close();
    }
  });

  test("a name that does not exist gets a page that says what to do", async () => {
    const { page } = await open("#/views/nothing_here");
    await page.getByText("There is no view of this name").waitFor();
    await page.close();
  });

  test("the theme that was chosen stays", async () => {
    const { page } = await open("");
    const before = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByRole("button", { name: /light and dark/ }).click();
    const chosen = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.notEqual(chosen, before);
    await page.reload();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), chosen);
    await page.close();
  });
});
