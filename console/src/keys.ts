/** The keyboard: `g` and a letter goes to a room, `j` and `k` walk through links, `/` filters. */
export const shortcuts: readonly (readonly [string, string])[] = [
  ["g o", "overview"],
  ["g v", "views"],
  ["g t", "topics"],
  ["g s", "sources"],
  ["g r", "schemas, the registry"],
  ["j k", "next, previous"],
  ["/", "filter what is listed"],
  ["p", "pause or go on with a tail"],
  ["?", "this help"],
  ["Esc", "close, leave the filter"],
];

const rooms: Readonly<Record<string, string>> = {
  o: "#/",
  v: "#/views",
  t: "#/topics",
  s: "#/sources",
  r: "#/schemas",
};

/** Answers the function that stops listening. */
export function listenToKeys(actions: { readonly help: () => void }): () => void {
  let afterG = false;
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // A question in front of the page keeps the keys for itself; Escape closes it without help.
    if (document.querySelector("dialog[open]")) return;
    const target = event.target as HTMLElement;
    if (event.key === "Escape") return target.blur();
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return;
    const room = afterG ? rooms[event.key] : undefined;
    afterG = event.key === "g";
    if (room) location.hash = room;
    else if (event.key === "?") actions.help();
    else if (event.key === "j" || event.key === "k") walk(event.key === "j" ? 1 : -1);
    else {
      const named = document.querySelector<HTMLElement>(`[data-key="${CSS.escape(event.key)}"]`);
      if (!named) return;
      event.preventDefault();
      if (named.tagName === "INPUT") named.focus();
      else named.click();
    }
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}

function walk(step: number): void {
  const links = [...document.querySelectorAll<HTMLElement>("main a[data-row], main a.card")];
  const at = links.indexOf(document.activeElement as HTMLElement);
  links[at < 0 ? (step > 0 ? 0 : links.length - 1) : (at + step + links.length) % links.length]?.focus();
}
