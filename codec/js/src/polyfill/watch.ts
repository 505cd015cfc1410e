// Watches a page for pictures of this kind, and puts others in their place that the browser can show.
//
// The browser goes on choosing among the candidates of srcset and <picture>: a transparent picture stands for each, and
// the one that it chose is fetched. What was there before it is never asked for again.

import { absolute } from "../page/index.js";
import { isAez, replacedSrcset } from "./addresses.js";
import { Shared } from "./pictures.js";

type Holder = HTMLImageElement | HTMLSourceElement;

/** What an attribute said, and what stands there instead. */
interface Taken {
  before: string;
  now: string;
}

type Name = "src" | "srcset" | "type";
const ADDRESSES = ["src", "srcset"] as const;
const TYPE = "image/aez";
const NEAR = "400px";

class Watch {
  private readonly pictures = new Map<string, Shared>();
  private readonly taken = new WeakMap<Holder, Map<Name, Taken>>();
  private readonly holders = new Set<Holder>();
  private readonly observer = new MutationObserver((records) => this.look(records));
  private readonly nearing = new IntersectionObserver((entries) => this.near(entries), { rootMargin: NEAR });

  constructor(private readonly root: Document | ShadowRoot) {
    root.addEventListener("load", this.onEvent, true);
    root.addEventListener("error", this.onEvent, true);
    const attributeFilter = [...ADDRESSES, "type"];
    this.observer.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter });
    this.takeAll(root);
  }

  /** Ends watching; pictures that are shown stay, others get their addresses back. */
  stop(): void {
    this.observer.disconnect();
    this.nearing.disconnect();
    this.root.removeEventListener("load", this.onEvent, true);
    this.root.removeEventListener("error", this.onEvent, true);
    for (const [address, picture] of this.pictures) {
      if (picture.ended) continue;
      picture.close();
      this.pictures.delete(address);
    }
    for (const holder of this.holders) {
      const words = this.taken.get(holder) ?? new Map<Name, Taken>();
      if (addressesOf(words).every((address) => this.pictures.has(address))) continue;
      for (const [name, { before, now }] of words) {
        if ((holder.getAttribute(name) ?? "") === now) holder.setAttribute(name, before);
      }
    }
  }

  private look(records: readonly MutationRecord[]): void {
    for (const { type, target, addedNodes } of records) {
      if (type === "attributes") this.take(target as Holder);
      for (const node of addedNodes) if (node instanceof Element) this.takeAll(node);
    }
    if (records.some(({ removedNodes }) => removedNodes.length)) this.release();
  }

  private takeAll(root: ParentNode): void {
    if (root instanceof HTMLImageElement || root instanceof HTMLSourceElement) this.take(root);
    for (const holder of root.querySelectorAll<Holder>("img, picture > source")) this.take(holder);
  }

  private take(holder: Holder): void {
    if (!(holder instanceof HTMLImageElement || holder.parentElement instanceof HTMLPictureElement)) return;
    const words = this.taken.get(holder) ?? new Map<Name, Taken>();
    for (const name of ADDRESSES) {
      const said = holder.getAttribute(name);
      if (said === null) words.delete(name);
      else if (said !== words.get(name)?.now) words.set(name, { before: said, now: said });
    }
    if (!addressesOf(words).length) {
      this.taken.delete(holder);
      this.holders.delete(holder);
      return;
    }
    // Browsers leave out a source of a type that they do not know.
    if (holder.getAttribute("type") === TYPE) {
      words.set("type", { before: TYPE, now: "" });
      holder.removeAttribute("type");
    }
    this.taken.set(holder, words);
    this.holders.add(holder);
    this.write(holder);
  }

  /** Puts what stands for each picture into the attributes. */
  private write(holder: Holder): void {
    for (const [name, taken] of this.taken.get(holder) ?? []) {
      if (name === "type") continue;
      taken.now = replaced(name, taken.before, (address) => this.picture(address, holder).shown);
      if (holder.getAttribute(name) !== taken.now) holder.setAttribute(name, taken.now);
    }
  }

  private picture(given: string, holder: Holder): Shared {
    const address = absolute(given);
    let picture = this.pictures.get(address);
    if (!picture) {
      picture = new Shared(address, isAsked(holder, address));
      picture.onChange = () => this.changed(address);
      this.pictures.set(address, picture);
    }
    return picture;
  }

  private changed(address: string): void {
    for (const holder of this.holders) {
      if (addressesOf(this.taken.get(holder)).includes(address)) this.write(holder);
    }
  }

  /** A transparent picture is no picture: the page hears of the one behind it, and of errors that are its. */
  private readonly onEvent = (event: Event): void => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement)) return;
    const behind = Shared.behind(image.currentSrc);
    if (behind) {
      event.stopImmediatePropagation();
      if (image.loading === "lazy") this.nearing.observe(image);
      else void behind.load();
    } else if (event.type === "error") this.tell(event, image);
  };

  private tell(event: Event, image: HTMLImageElement): void {
    if (isAez(image.currentSrc || image.src)) event.stopImmediatePropagation(); // the browser's own try, before this began
    for (const picture of this.pictures.values()) {
      if (picture.error === null || picture.shown !== (image.currentSrc || image.src)) continue;
      image.dispatchEvent(new CustomEvent("aez-error", { bubbles: true, detail: picture.error }));
    }
  }

  private near(entries: readonly IntersectionObserverEntry[]): void {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      this.nearing.unobserve(target);
      void Shared.behind((target as HTMLImageElement).currentSrc)?.load();
    }
  }

  /** Gives back what nobody in the page shows any more. */
  private release(): void {
    const used = new Set<string>();
    for (const holder of this.holders) {
      if (!holder.isConnected) this.holders.delete(holder);
      else for (const address of addressesOf(this.taken.get(holder))) used.add(address);
    }
    for (const [address, picture] of this.pictures) {
      if (used.has(address)) continue;
      picture.close();
      this.pictures.delete(address);
    }
  }
}

/**
 * Whether the browser asked for a picture before this began, as for what stands in the HTML. Of another origin it asked
 * without what a script needs to read the answer.
 */
function isAsked(holder: Holder, address: string): boolean {
  if (!(holder instanceof HTMLImageElement) || holder.currentSrc !== address) return false;
  return (holder.complete || holder.loading !== "lazy") && new URL(address).origin === location.origin;
}

/** The words of an attribute with all addresses of pictures replaced. */
function replaced(name: Name, words: string, replace: (address: string) => string): string {
  const instead = (address: string) => (isAez(address) ? replace(address) : address);
  return name === "src" ? instead(words.trim()) : replacedSrcset(words, instead);
}

/** The addresses of pictures in the attributes of an element, absolute. */
function addressesOf(words: ReadonlyMap<Name, Taken> | undefined): string[] {
  const found: string[] = [];
  for (const [name, { before }] of words ?? []) {
    replaced(name, before, (address) => {
      found.push(absolute(address));
      return address;
    });
  }
  return found;
}

/** Shows pictures of this kind in `<img>` and `<picture>` from now on; what it gives ends that. */
export function start(root: Document | ShadowRoot = document): () => void {
  const watch = new Watch(root);
  return () => watch.stop();
}
