/**
 * The subject of a certificate as text, as Java's X500Principal writes it (RFC 2253): the most special part first,
 * `CN=alice,OU=Shop,O=Example,C=SE`. Principals of Kafka are made of this text, so it must be the same to the letter.
 *
 * Read from the certificate's DER (X.690); the certificate has been verified by TLS before, but is foreign bytes still.
 */

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** The element with its tag and length. */
  readonly whole: Buffer;
}

const tag = { sequence: 0x30, set: 0x31, oid: 0x06, version: 0xa0 } as const;

/** Attributes that RFC 2253 has a word for; others are written as numbers, with their value in hex. */
const keywords: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "STREET",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
};

const decoders: Readonly<Record<number, (content: Buffer) => string>> = {
  12: (content) => content.toString("utf8"),
  19: (content) => content.toString("latin1"),
  20: (content) => content.toString("latin1"),
  22: (content) => content.toString("latin1"),
  30: (content) => Buffer.from(content).swap16().toString("utf16le"),
};

/** Undefined when the bytes are no certificate. An empty subject is "". */
export function subjectOfCertificate(der: Buffer): string | undefined {
  try {
    return distinguishedName(subjectElement(der));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Certificate → TBSCertificate → [version], serial, signature, issuer, validity, subject (RFC 5280 section 4.1). */
function subjectElement(der: Buffer): Element {
  const certificate = elementAt(der, 0, tag.sequence);
  const fields = elementsOf(elementAt(certificate.content, 0, tag.sequence).content, 8);
  const subject = fields[fields[0]?.tag === tag.version ? 5 : 4];
  if (subject?.tag !== tag.sequence) throw new RangeError("there is no subject");
  return subject;
}

function distinguishedName(subject: Element): string {
  const parts = elementsOf(subject.content).map((set) => {
    if (set.tag !== tag.set) throw new RangeError("a part of the subject is no set");
    return elementsOf(set.content).map(attributeText).join("+");
  });
  return parts.reverse().join(",");
}

function attributeText(attribute: Element): string {
  const [type, value] = attribute.tag === tag.sequence ? elementsOf(attribute.content) : [];
  if (type?.tag !== tag.oid || !value) throw new RangeError("an attribute has no type or no value");
  const oid = oidText(type.content);
  const keyword = keywords[oid];
  const decode = decoders[value.tag];
  if (!keyword || !decode) return `${keyword ?? oid}=#${value.whole.toString("hex")}`;
  return `${keyword}=${escaped(decode(value.content))}`;
}

function escaped(text: string): string {
  const inner = text.replace(/[,=+<>#;"\\]/g, "\\$&").replaceAll("\0", "\\00");
  return inner.replace(/^ +| +$/g, (spaces) => "\\ ".repeat(spaces.length));
}

function oidText(bytes: Buffer): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) throw new RangeError("an object identifier is too large");
    if (byte & 0x80) continue;
    if (arcs.length === 0) arcs.push(Math.min(Math.floor(arc / 40), 2), arc - Math.min(Math.floor(arc / 40), 2) * 40);
    else arcs.push(arc);
    arc = 0;
  }
  return arcs.join(".");
}

function elementsOf(bytes: Buffer, countMax = 1_000): Element[] {
  const elements: Element[] = [];
  for (let position = 0; position < bytes.length && elements.length < countMax; ) {
    const element = elementAt(bytes, position);
    elements.push(element);
    position += element.whole.length;
  }
  return elements;
}

function elementAt(bytes: Buffer, position: number, wanted?: number): Element {
  const [found, first] = [bytes[position], bytes[position + 1]];
  if (found === undefined || first === undefined) throw new RangeError("the bytes end too early");
  if (wanted !== undefined && found !== wanted) throw new RangeError("it is something else");
  let start = position + 2;
  let length = first;
  if (first >= 0x80) {
    const lengthBytes = first & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4 || start + lengthBytes > bytes.length) throw new RangeError("no length");
    length = bytes.readUIntBE(start, lengthBytes);
    start += lengthBytes;
  }
  if (start + length > bytes.length) throw new RangeError("the bytes end too early");
  const end = start + length;
  return { tag: found, content: bytes.subarray(start, end), whole: bytes.subarray(position, end) };
}
