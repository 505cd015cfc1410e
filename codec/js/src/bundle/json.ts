// JSON as manifests have it: no name twice, numbers spelled in one way, and each object's text in one spelling.
import { ModelError } from "../errors.js";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

const TOKEN =
  /\s*(?:([[\]{}:,])|("(?:[^"\\]|\\.)*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]\d+)?)|(true|false|null))\s*/suy;

/** A value, and of every object in it the text that ids are made of: sorted names, no white space, ASCII. */
export function parseJson(data: Uint8Array): { value: Json; spelled: Map<Json, string> } {
  const spelled = new Map<Json, string>();
  let text = "";
  let at = 0;
  const refuse = (): never => {
    throw new ModelError(`the bundle's manifest is not JSON as it should be, before character ${at}`);
  };
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    refuse();
  }
  const next = (): RegExpExecArray => {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text) ?? refuse();
    at = TOKEN.lastIndex;
    return token;
  };
  /** The entries of a list or an object, up to its end. */
  const entries = (end: string, read: (token: RegExpExecArray) => void): void => {
    let token = next();
    if (token[1] === end) return;
    for (;;) {
      read(token);
      const mark = next()[1];
      if (mark === end) return;
      if (mark !== ",") refuse();
      token = next();
    }
  };
  const parse = (token: RegExpExecArray): [Json, string] => {
    const [, mark, string, number, word] = token;
    if (string) return spell(string);
    if (number) return isSpelled(number) ? [Number(number), number] : refuse();
    if (word) return [JSON.parse(word), word];
    if (mark === "[") {
      const found: [Json, string][] = [];
      entries("]", (one) => found.push(parse(one)));
      return [found.map(([value]) => value), `[${found.map(([, text]) => text).join()}]`];
    }
    if (mark !== "{") return refuse();
    const found = new Map<string, [Json, string, string]>();
    entries("}", (one) => {
      if (!one[2]) refuse();
      const [name, quoted] = spell(one[2] as string);
      if (next()[1] !== ":" || found.has(name)) refuse();
      found.set(name, [...parse(next()), quoted]);
    });
    const names = [...found.keys()].sort();
    const value = Object.fromEntries([...found].map(([name, [one]]) => [name, one]));
    const spelling = `{${names.map((name) => `${found.get(name)?.[2]}:${found.get(name)?.[1]}`).join()}}`;
    spelled.set(value, spelling);
    return [value, spelling];
  };
  const spell = (quoted: string): [string, string] => {
    let value = "";
    try {
      value = JSON.parse(quoted);
    } catch {
      refuse();
    }
    return [value, JSON.stringify(value).replace(/[^ -~]/g, escaped)];
  };
  const [value] = parse(next());
  if (at < text.length) refuse();
  return { value, spelled };
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Whether a number is spelled as Python's `repr` spells it: an integer, or the shortest decimal of a double. */
function isSpelled(text: string): boolean {
  if (/^(0|-?[1-9]\d*)$/.test(text)) return true;
  const number = Number(text);
  if (/^-?\d+$/.test(text)) return false;
  const [digits, exponent = 0] = number.toExponential().split("e");
  const power = Number(exponent);
  if (number && (power < -4 || power >= 16)) {
    return text === `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const fixed = Object.is(number, -0) ? "-0" : String(number);
  return text === (Number.isInteger(number) ? `${fixed}.0` : fixed);
}
