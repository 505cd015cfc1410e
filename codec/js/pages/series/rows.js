// Rows out of text: CSV with a line of names, or messages of a WebSocket.

/** The fields of a line; quotes keep separators. */
export function fieldsOf(line, separator) {
  const fields = [];
  let at = 0;
  while (at <= line.length) {
    if (line[at] === '"') {
      let field = "";
      for (at++; at < line.length; at++) {
        if (line[at] !== '"') field += line[at];
        else if (line[at + 1] === '"') field += line[++at];
        else break;
      }
      fields.push(field);
      at = line.indexOf(separator, at) < 0 ? line.length + 1 : line.indexOf(separator, at) + 1;
    } else {
      const end = line.indexOf(separator, at) < 0 ? line.length : line.indexOf(separator, at);
      fields.push(line.slice(at, end).trim());
      at = end + 1;
    }
  }
  return fields;
}

/** The separator that a line of names has most of. */
export function separatorOf(line) {
  const counts = [",", ";", "\t"].map((mark) => [line.split(mark).length, mark]);
  return counts.sort((one, other) => other[0] - one[0])[0][1];
}

/** Rows as maps from names; the lines of a whole file. */
export function* rowsOfCsv(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  const separator = separatorOf(lines[0]);
  const names = fieldsOf(lines[0], separator);
  for (const line of lines.slice(1)) {
    if (!line.trim()) continue;
    const fields = fieldsOf(line, separator);
    yield new Map(names.map((name, at) => [name, fields[at]]));
  }
}

/** What reads messages: objects and arrays of JSON, or CSV whose first line has the names. */
export function reader() {
  let names = null;
  let separator = ",";
  return (message) => {
    const text = message.trim();
    if (text.startsWith("{")) return new Map(Object.entries(JSON.parse(text)));
    if (text.startsWith("[")) return JSON.parse(text);
    if (!names) {
      separator = separatorOf(text);
      names = fieldsOf(text, separator);
      return null;
    }
    const fields = fieldsOf(text, separator);
    return new Map(names.map((name, at) => [name, fields[at]]));
  };
}
