/** Rooms and names in the address's fragment. Pure. */

/** `#/topics/shop.orders` is the room `topics` and the name; a name that is no percent-encoding is taken as it is. */
export function readRoute(hash: string): readonly [room: string, name: string] {
  const [room = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  const name = rest.join("/");
  try {
    return [room, decodeURIComponent(name)];
  } catch {
    return [room, name];
  }
}
