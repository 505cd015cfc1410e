// Turns on the main thread: what a page of many pictures begins at once is begun in short pieces.

/** Milliseconds of beginning after which what else the page does comes first. */
const TURN = 8;
let before: Promise<void> = Promise.resolve();
let since = 0;

/** Kept once it is this caller's turn, in the order of asking: fifty requests begun in one task hold up a page. */
export function turn(): Promise<void> {
  before = before.then(async () => {
    if (performance.now() - since < TURN) return;
    await new Promise((resolve) => setTimeout(resolve));
    since = performance.now();
  });
  return before;
}
