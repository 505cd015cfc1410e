// The pictures of a page by address: each is fetched and decoded once, whoever shows it.
import type { Header, Tile } from "../index.js";
import { decodeSeen, fetchPicture, scaleOf, shownSize } from "../page/index.js";

const placeholders = new Map<string, Shared>();

/** One picture on its way: a transparent one of its size at first, then itself. */
export class Shared {
  /** What stands for it now. */
  shown: string;
  /** Called when something else stands for it. */
  onChange: () => void = () => undefined;
  private readonly ending = new AbortController();
  private begun: Promise<void> | null = null;
  /** Whether the picture itself stands there, or never will. */
  ended = false;
  error: unknown = null;
  private readonly made: string[] = [];

  /** `asked`: the browser has asked for it already, so that it is in its cache as a rule. */
  constructor(
    readonly address: string,
    private readonly asked: boolean,
  ) {
    this.shown = this.transparent(1, 1);
  }

  /** The picture for which a transparent one stands. */
  static behind(address: string): Shared | undefined {
    return placeholders.get(address);
  }

  /** Fetches and decodes, once. */
  load(): Promise<void> {
    this.begun ??= this.run().catch((error: unknown) => {
      if (this.ending.signal.aborted) return;
      this.error = error;
      this.ended = true;
      this.change(this.stands(new Blob([]))); // no picture: the browser shows the words of alt
    });
    return this.begun;
  }

  /** Ends the work and gives the memory back. */
  close(): void {
    this.ending.abort();
    for (const address of this.made) {
      placeholders.delete(address);
      URL.revokeObjectURL(address);
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.ending;
    const { header, stream } = await fetchPicture(this.address, signal, "same-origin", this.asked);
    const scale = scaleOf(header);
    this.change(this.transparent(...shownSize(header)));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = shownSize(header, scale);
    const onTile = ({ x, y, width, height, rgba, colorSpace }: Tile, _: Header) => {
      const image = new ImageData(rgba, width, height, { colorSpace });
      canvas.getContext("2d", { colorSpace })?.putImageData(image, x, y);
    };
    await decodeSeen(stream, { signal, scale, onTile });
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve));
    [canvas.width, canvas.height] = [0, 0];
    signal.throwIfAborted();
    if (!blob) throw new Error("the browser has no memory for the picture");
    this.ended = true;
    this.change(this.stands(blob));
  }

  private change(shown: string): void {
    this.shown = shown;
    this.onChange();
  }

  /** No data: address: of candidates with such ones Chromium takes the largest, whatever the screen needs. */
  private transparent(width: number, height: number): string {
    const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"/>`;
    const address = this.stands(new Blob([text], { type: "image/svg+xml" }));
    placeholders.set(address, this);
    return address;
  }

  private stands(blob: Blob): string {
    const address = URL.createObjectURL(blob);
    this.made.push(address);
    return address;
  }
}
