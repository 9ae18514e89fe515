/** Work in a source's database that no capture runs beside: on a connection of its own, closed at the end. */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import { closeConnection, connect, type SourceAddress } from "./connection.ts";
import { dropPublications, dropSlot } from "./server-setup.ts";
import { lookAtSlot, type SlotLook } from "./slot-look.ts";

/** No error when the slot is not there. Publications that an administrator has made stay. */
export function giveUpSlot(
  source: SourceAddress,
  slot: string,
  { publications, clock }: { readonly publications: boolean; readonly clock: Clock },
): Promise<void> {
  return withConnection(source, async (client) => {
    await dropSlot(client, source.name, slot, clock);
    if (publications) await dropPublications(client, slot);
  });
}

export function lookFromOutside(source: SourceAddress, slot: string): Promise<SlotLook> {
  return withConnection(source, (client) => lookAtSlot(client, slot));
}

/** Which server answers at the address. */
export function systemIdOf(source: SourceAddress): Promise<string> {
  return withConnection(source, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      "select system_identifier::text as id from pg_control_system()",
    );
    return rows[0]?.id ?? "";
  });
}

async function withConnection<T>(source: SourceAddress, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(source, "query");
  try {
    return await work(client);
  } finally {
    await closeConnection(client);
  }
}
