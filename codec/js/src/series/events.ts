// Events: what a row of scores becomes for people, by the rule that the threshold was chosen for. As codec/detect/events.py.

/** When events open, close and merge, in rows. */
export interface EventRule {
  /** Loud rows in a row that open one. */
  open_after: number;
  /** Quiet rows in a row that close it. */
  close_after: number;
  /** One that begins at most so many rows behind the end of the last continues that one. */
  merge_within: number;
  /** Shorter ones are dropped. */
  min_length: number;
}

export interface Event {
  /** The first loud row, and the one after the last. */
  start: number;
  end: number;
  /** The row at which the rule opened it. */
  opened: number;
  /** What came as time with the first and the last loud row. */
  startTime: number | null;
  endTime: number | null;
  peak: number;
  peakRow: number;
  /** Names and shares 0..1 of those to blame, the largest first. */
  channels: [string, number][];
  severity: "warning" | "serious" | "critical";
  /** Whether it is open still. */
  ongoing: boolean;
}

export interface EventUpdate {
  kind: "opened" | "updated" | "closed";
  event: Event;
}

/** Loud rows that belong together. */
interface Stretch {
  start: number;
  startTime: number | null;
  last: number;
  lastTime: number | null;
  loud: number;
  peak: number;
  peakRow: number;
  shares: Float64Array;
}

const LARGEST_SHARE = 1e30;
const SERIOUS = 2;
const CRITICAL = 5;

/** Takes rows in order; rows without a score (NaN) change nothing. */
export class EventTracker {
  /** Loud rows that have opened nothing yet. */
  private run: Stretch | null = null;
  /** One that is open, or has had its quiet rows and waits until nothing can merge into it. */
  private event: Stretch | null = null;
  private opened: number | null = null;
  private quiet = 0;
  private resting = false;

  constructor(
    readonly rule: EventRule,
    readonly channels: readonly string[],
  ) {}

  /** The event that is open, as it stands. */
  get current(): Event | null {
    return this.event && this.opened !== null ? this.describe(this.event, this.opened, true) : null;
  }

  /** What a row changes. */
  take(row: number, score: number, blame: ArrayLike<number>, time: number | null): EventUpdate[] {
    const updates = this.resting ? this.release(row) : [];
    if (score > 1) updates.push(...this.loud(row, score, blame, time));
    else if (!Number.isNaN(score)) this.hush();
    if (this.resting) updates.push(...this.release(row + 1));
    return updates;
  }

  /** The rows end here: the last event is closed, as one that goes on unless it had its quiet rows. */
  finish(): EventUpdate[] {
    this.run = null;
    return this.close(!this.resting);
  }

  private loud(row: number, score: number, blame: ArrayLike<number>, time: number | null): EventUpdate[] {
    this.quiet = 0;
    if (this.event && !this.resting) {
      this.add(this.event, row, score, blame, time);
      return this.announce(row);
    }
    this.run ??= {
      start: row,
      startTime: time,
      last: row,
      lastTime: time,
      loud: 0,
      peak: -Infinity,
      peakRow: row,
      shares: new Float64Array(this.channels.length),
    };
    this.add(this.run, row, score, blame, time);
    if (this.run.loud < this.rule.open_after) return [];
    if (this.event) absorb(this.event, this.run);
    else this.event = this.run;
    this.run = null;
    this.resting = false;
    return this.announce(row);
  }

  private add(to: Stretch, row: number, score: number, blame: ArrayLike<number>, time: number | null): void {
    to.last = row;
    to.lastTime = time;
    to.loud++;
    if (score > to.peak) [to.peak, to.peakRow] = [score, row];
    to.shares.forEach((share, at) => {
      const more = blame[at] as number;
      to.shares[at] = share + (more > 0 ? Math.min(more, LARGEST_SHARE) : 0); // NaN counts as 0
    });
  }

  private hush(): void {
    this.run = null;
    if (!this.event || this.resting) return;
    this.quiet++;
    this.resting = this.quiet >= this.rule.close_after;
  }

  private announce(row: number): EventUpdate[] {
    const { event } = this;
    if (!event) return [];
    if (this.opened !== null) return [{ kind: "updated", event: this.describe(event, this.opened, true) }];
    if (event.last + 1 - event.start < this.rule.min_length) return [];
    this.opened = row;
    return [{ kind: "opened", event: this.describe(event, row, true) }];
  }

  private release(following: number): EventUpdate[] {
    if (!this.event || !this.resting || this.run) return [];
    if (following - (this.event.last + 1) <= this.rule.merge_within) return [];
    return this.close(false);
  }

  private close(ongoing: boolean): EventUpdate[] {
    const { event, opened } = this;
    this.event = null;
    this.opened = null;
    this.quiet = 0;
    this.resting = false;
    return event && opened !== null ? [{ kind: "closed", event: this.describe(event, opened, ongoing) }] : [];
  }

  private describe(event: Stretch, opened: number, ongoing: boolean): Event {
    const total = event.shares.reduce((sum, share) => sum + share, 0);
    const channels = this.channels
      .map((name, at): [string, number] => [name, (event.shares[at] as number) / (total || 1)])
      .filter(([, share]) => share > 0)
      .sort((one, other) => other[1] - one[1]);
    return {
      start: event.start,
      end: event.last + 1,
      opened,
      startTime: event.startTime,
      endTime: event.lastTime,
      peak: event.peak,
      peakRow: event.peakRow,
      channels,
      severity: event.peak < SERIOUS ? "warning" : event.peak < CRITICAL ? "serious" : "critical",
      ongoing,
    };
  }
}

function absorb(event: Stretch, later: Stretch): void {
  event.last = later.last;
  event.lastTime = later.lastTime;
  event.loud += later.loud;
  if (later.peak > event.peak) [event.peak, event.peakRow] = [later.peak, later.peakRow];
  later.shares.forEach((share, at) => {
    event.shares[at] = (event.shares[at] as number) + share;
  });
}
