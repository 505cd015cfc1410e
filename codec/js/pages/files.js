// Files that a page is given: dropped onto it, or named in its address.

/** Opens what is dropped anywhere; `target` shows that it may be. */
export function takeDrops(target, open) {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  addEventListener("dragleave", () => target.classList.remove("over"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    target.classList.remove("over");
    for (const file of event.dataTransfer.files) await open(file, file.name);
  });
}

/** Opens the files at the addresses that the page's query has by these names. */
export async function openAsked(names, open, say) {
  const asked = new URLSearchParams(location.search);
  for (const name of names) {
    const address = asked.get(name);
    if (!address) continue;
    const answer = await fetch(address);
    if (answer.ok) await open(await answer.blob(), address);
    else say(`${address} could not be fetched: ${answer.status}.`, true);
  }
}
