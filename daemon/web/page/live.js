// The one connection by which news come. It is opened anew when it breaks, and closed while nobody looks.

const SILENCE_MS = 40_000; // a beat comes every 15 s, so that so long a silence means a dead connection
const RETRY_MS = 3_000;

export class Live {
  /** handlers: what to do with each kind of news. told: is given "live", "connecting" or "lost". */
  constructor(handlers, told) {
    this.handlers = handlers;
    this.told = told;
    this.query = "";
    this.source = null;
    this.heard = 0;
    setInterval(() => this.check(), 5_000);
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.source ?? this.open());
    addEventListener("online", () => this.open());
  }

  /** Follow what `wanted` names: stream, search, state, offset. */
  follow(wanted) {
    const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)).toString();
    if (query === this.query && this.source) return;
    this.query = query;
    this.open();
  }

  open() {
    this.close();
    if (document.hidden) return;
    const source = new EventSource(`/api/live?${this.query}`);
    this.source = source;
    this.heard = performance.now();
    source.addEventListener("open", () => {
      this.heard = performance.now();
      this.told("live");
    });
    source.addEventListener("error", () => {
      this.told("lost");
      // Refused, and not just cut off: the browser gives up then.
      if (source.readyState === EventSource.CLOSED) this.later();
    });
    source.addEventListener("beat", () => (this.heard = performance.now()));
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (news) => {
        this.heard = performance.now();
        handle(JSON.parse(news.data));
      });
    }
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  later() {
    this.close();
    this.timer = setTimeout(() => {
      // Says whether the token is needed again, which an EventSource does not.
      fetch("/api/summary").then(
        (answer) => (answer.status === 401 ? location.reload() : this.open()),
        () => this.later(),
      );
    }, RETRY_MS);
  }

  check() {
    if (this.source && performance.now() - this.heard > SILENCE_MS) {
      this.told("lost");
      this.open();
    }
  }
}
