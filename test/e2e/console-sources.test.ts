import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { findChromium } from "../../tools/services.ts";
import { eventually } from "../support/program.ts";
import { ConsoleWorld, excessWidth, longTable, manyTables, openBrowser } from "./console-world.ts";

const chromiumPath = findChromium();
const skip = chromiumPath ? false : "skipped: no Chromium on this machine (apt-get install chromium)";

describe("sources and schemas in the console", { skip }, () => {
  let world: ConsoleWorld;
  let browser: Browser;

  before(async () => {
    world = await ConsoleWorld.open();
    browser = await openBrowser(chromiumPath ?? "");
  });

  after(async () => {
    await browser?.close();
    await world?.[Symbol.asyncDispose]();
  });

  async function open(path: string, width = 1280): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height: 800 } });
    await page.goto(`${world.program.address}/${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.locator(".loading").first().waitFor({ state: "detached" });
    return page;
  }
  const streams = () => eventually(async () => ((await world.stateOf("shop")) === "streaming" ? true : undefined));
  const button = (page: Page, name: string | RegExp) => page.getByRole("button", { name, exact: true });

  test("a pause says what follows, is done when it is confirmed, and a resume goes on", async () => {
    await using page = await open("#/sources/shop");
    await button(page, "Pause").click();
    const dialog = page.getByRole("dialog", { name: "Pause shop" });
    await dialog.getByText(/The server keeps its log for the slot, .* by now/).waitFor();
    await dialog.getByText(/about 500 rows of 3 tables/).waitFor();
    // Escape takes nothing away, and the focus goes back to the button.
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Pause");
    assert.equal(await world.stateOf("shop"), "streaming");
    await page.keyboard.press("Enter");
    await button(page, "Pause, keep the slot").click();
    await page.getByText("paused, slot kept").waitFor();
    await button(page, "Resume").click();
    await page
      .getByRole("dialog")
      .getByText(/It goes on where it stood/)
      .waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
    await page.getByText("streaming", { exact: true }).waitFor();
    await streams();
  });

  test("one table is read anew, and its view says so with its progress instead of an error, and comes back", async () => {
    await using view = await open("#/views/order_notes");
    await view.getByRole("cell", { name: "n500" }).waitFor();
    await using page = await open("#/sources/shop");
    await button(page, "Read public.orders anew").click();
    await page
      .getByRole("dialog")
      .getByText(/About 500 rows are read again. The other tables go on/)
      .waitFor();
    // It is read when nobody holds it, so that the reading can be seen.
    await world.client.query("begin; lock table orders in access exclusive mode");
    await button(page, "Read this table anew").click();
    await view.getByText(/waits for .*orders.*, which is read anew/).waitFor();
    assert.equal(await view.getByRole("alert").count(), 0);
    await world.client.query("insert into orders values (501, 'written meanwhile'); commit");
    await view.getByRole("cell", { name: "written meanwhile" }).waitFor();
    await streams();
  });

  test("a view that is published leads to its topic", async () => {
    await using page = await open("#/views/order_notes");
    await page.getByRole("link", { name: "order-notes" }).click();
    await page.getByRole("heading", { level: 1, name: "order-notes" }).waitFor();
  });

  test("a refusal is shown with its code and the way out", async () => {
    await using page = await open("#/sources/shop");
    await button(page, "Read public.customers anew").click();
    await world.client.query("alter table customers drop constraint customers_pkey");
    await button(page, "Read this table anew").click();
    const alert = page.getByRole("dialog").getByRole("alert");
    await alert.getByText("SOURCE_TABLE_WITHOUT_KEY").waitFor();
    await alert.locator(".hint").waitFor();
    await world.client.query("alter table customers add primary key (id)");
    await button(page, "Cancel").click();
    await streams();
  });

  test("a retry tells what became of it", async () => {
    await using page = await open("#/sources/shop");
    await button(page, "Retry rows set aside").click();
    await button(page, "Retry").click();
    await page.getByRole("dialog").getByText("Nothing was set aside.").waitFor();
    await button(page, "Close").click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  test("of many tables some are shown, and a filter finds the others", async () => {
    await using page = await open("#/sources/big");
    await page.getByRole("heading", { name: `${manyTables} tables` }).waitFor();
    await page.getByText(`The first 100 of ${manyTables} tables`).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("T_119");
    await page.getByRole("link", { name: "big.big.t_119" }).waitFor();
    assert.equal(await page.locator("table.captured tbody tr").count(), 1);
    await page.keyboard.type("?");
    await page.getByText("No table has this text").waitFor();
  });

  test("a source of webhooks counts what came, what came twice and what was forged", async () => {
    for (const id of ["a", "b", "a"]) assert.equal(await world.hook({ id }), 200);
    assert.equal(await world.hook({ id: "c" }, "somebody else's secret"), 401);
    await using page = await open("#/sources/vendor");
    const fact = (name: string) => page.locator(".fact", { hasText: name }).locator("dd");
    await fact("Accepted").getByText("2", { exact: true }).waitFor();
    assert.equal(await fact("Duplicates").textContent(), "1");
    assert.equal(await fact("Forged").textContent(), "1");
    await page.getByRole("row", { name: /signature 1 Forged/ }).waitFor();
    assert.equal(await button(page, "Pause").count(), 0);
  });

  test("a subject shows what differs between two versions, and what it is built on", async () => {
    const user = (fields: readonly string[]) => ({
      type: "record",
      name: "User",
      namespace: "org",
      fields: fields.map((name) => ({ name, type: "string", default: "" })),
    });
    await world.register("users/all-value", user(["id"]));
    await world.register("users/all-value", user(["id", "mail"]));
    const order = { type: "record", name: "Order", fields: [{ name: "user", type: "org.User" }] };
    const references = [{ name: "org.User", subject: "users/all-value", version: 2 }];
    await world.register("orders-value", order, { references });
    await using page = await open("#/schemas");
    await page.keyboard.press("/");
    await page.keyboard.type("users");
    await page.getByRole("link", { name: "users/all-value" }).click();
    await page.locator(".diff .added", { hasText: '"mail"' }).waitFor();
    assert.equal(await page.locator(".diff .removed").count(), 0);
    await page.getByRole("heading", { name: "Built on it" }).waitFor();
    await page.getByRole("link", { name: "orders-value" }).click();
    await page.getByRole("heading", { name: "Built on", exact: true }).waitFor();
    await page.getByRole("link", { name: "users/all-value" }).click();
    await page.getByLabel("Version", { exact: true }).selectOption("1");
    await page.getByLabel("Compared with").selectOption("2");
    await page.locator(".diff .removed", { hasText: '"mail"' }).waitFor();
  });

  test("a level of compatibility is changed after it was confirmed, and given back", async () => {
    await world.register("levels-value", { type: "string" });
    await using page = await open("#/schemas/levels-value");
    const level = page.getByLabel("Compatibility");
    const kept = async () => {
      const answer = await fetch(`${world.program.address}/registry/config/levels-value`);
      return answer.status === 404
        ? null
        : ((await answer.json()) as { compatibilityLevel: string }).compatibilityLevel;
    };
    const shown = async (value: string) => {
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await eventually(async () => ((await level.inputValue()) === value ? true : undefined));
    };
    await level.selectOption("FULL");
    await page.getByRole("dialog").waitFor();
    await button(page, "Cancel").click();
    assert.deepEqual([await level.inputValue(), await kept()], ["", null]);
    await level.selectOption("FULL");
    await button(page, "Change to FULL").click();
    await shown("FULL");
    assert.equal(await kept(), "FULL");
    await level.selectOption("");
    await button(page, "Change to BACKWARD").click();
    await shown("");
    assert.equal(await kept(), null);
  });

  test("no page of sources and schemas is wider than the window, whatever names are in it", async () => {
    const long = `${"a-subject-whose-name-is-long-".repeat(6)}value`;
    await world.register(long, { type: "string" });
    const paths = ["sources", "sources/shop", "sources/big", "sources/vendor", "schemas", `schemas/${long}`];
    const fits = async (page: Page, what: string) => {
      for (const width of [1360, 800, 375]) {
        await page.setViewportSize({ width, height: 800 });
        const excess = await excessWidth(page);
        assert.ok(excess <= 0, `${what} is ${excess} pixels too wide at ${width}`);
      }
    };
    for (const path of paths) {
      await using page = await open(`#/${path}`);
      await fits(page, path);
    }
    await using page = await open("#/sources/shop");
    await button(page, `Read public.${longTable} anew`).click();
    await page.getByRole("dialog").waitFor();
    await fits(page, "the question");
  });

  test("every control of the pages has a name that a screen reader can tell", async () => {
    for (const path of ["sources", "sources/shop", "sources/vendor", "schemas", "schemas/shop.public.orders-value"]) {
      await using page = await open(`#/${path}`);
      const nameless = await page.evaluate(() =>
        [...document.querySelectorAll("button, select, input, [role=progressbar]")]
          .filter((element) => {
            const labels = (element as HTMLInputElement).labels?.length ?? 0;
            return !element.getAttribute("aria-label") && labels === 0 && !element.textContent?.trim();
          })
          .map((element) => element.outerHTML),
      );
      assert.deepEqual(nameless, [], path);
    }
  });
});
