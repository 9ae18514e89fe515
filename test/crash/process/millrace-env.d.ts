// Written by `millrace dev` and `millrace types` from millrace-schema.json: do not edit, but commit it.

/** Rows of captured tables, by topic, and of topics, by what views call them. */
export interface Tables {
}

/** Rows of views, by name. */
export interface Views {
}
