// The addresses in src and srcset.

/** Whether an address names a picture of this kind, by its end. */
export function isAez(address: string): boolean {
  if (!URL.canParse(address, document.baseURI)) return false;
  return /^[^?#]*\.aez(?:[?#]|$)/i.test(address) && !/^(?:data|blob):/i.test(address);
}

/** A srcset with some of its addresses replaced; what stands between them stays as it is. */
export function replacedSrcset(srcset: string, replace: (address: string) => string): string {
  let out = "";
  let rest = srcset;
  // As HTML reads it: spaces and commas, an address without spaces, then descriptors up to a comma outside of brackets.
  for (;;) {
    const found = /^([\s,]*)(\S+)/.exec(rest);
    if (!found) return out + rest;
    const [all, before = "", word = ""] = found;
    const address = word.replace(/,+$/, "");
    out += before + replace(address);
    rest = rest.slice(all.length);
    if (address.length < word.length) {
      out += ", ";
      continue;
    }
    const descriptors = /^(?:\([^)]*\)|[^,(])*/.exec(rest)?.[0] ?? "";
    out += descriptors;
    rest = rest.slice(descriptors.length);
  }
}
