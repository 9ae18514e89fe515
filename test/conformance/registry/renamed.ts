/** A change that old values cannot be read with, and what translates them, for the guide. */
import { topic } from "millrace";
import * as z from "zod";

const Person = z.object({ first: z.string(), last: z.string() });

export const people = topic("people", {
  schema: Person,
  upcast: {
    1: ({ name }: { name: string }) => ({ first: name.split(" ")[0], last: name.split(" ").slice(1).join(" ") }),
  },
});
