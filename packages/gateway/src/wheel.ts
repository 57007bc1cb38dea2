/**
 * One coarse timer for all idle timeouts of a process: arming costs a few field writes instead of a timer each.
 * An entry fires up to one tick late, never early.
 */
export abstract class WheelEntry {
  /** Tick at which it is due, 0 when not armed. The wheel's own, as is `at`. */
  due = 0;
  /** Tick of the slot it sits in, 0 when in none. */
  at = 0;
  abstract onTimeout(): void;
}

export class Wheel {
  readonly #slots: Set<WheelEntry>[];
  readonly #timer: NodeJS.Timeout;
  /** Length of a tick, ms. */
  readonly tickMs: number;
  /** Counts ticks. */
  tick = 1;

  constructor(tickMs = 1000, slots = 512) {
    this.tickMs = tickMs;
    this.#slots = Array.from({ length: slots }, () => new Set<WheelEntry>());
    this.#timer = setInterval(() => this.#advance(), tickMs);
    this.#timer.unref();
  }

  /** (Re)arms: calls `entry.onTimeout` once, `ms` from now, rounded up to whole ticks. */
  arm(entry: WheelEntry, ms: number): void {
    const due = this.tick + Math.ceil(ms / this.tickMs) + 1;
    entry.due = due;
    // An entry that is only pushed out stays in its slot and moves on when that comes up: a busy connection pays one write.
    if (entry.at !== 0) {
      if (entry.at <= due) return;
      this.#slot(entry.at).delete(entry);
    }
    this.#put(entry, due);
  }

  disarm(entry: WheelEntry): void {
    entry.due = 0;
  }

  /** As `disarm`, and lets go of the entry now instead of when its slot comes up. */
  forget(entry: WheelEntry): void {
    entry.due = 0;
    if (entry.at !== 0) this.#slot(entry.at).delete(entry);
    entry.at = 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #slot(tick: number): Set<WheelEntry> {
    return this.#slots[tick % this.#slots.length]!;
  }

  #put(entry: WheelEntry, due: number): void {
    // Further out than the wheel is long: sits in the last slot and is put on from there.
    entry.at = Math.min(due, this.tick + this.#slots.length - 1);
    this.#slot(entry.at).add(entry);
  }

  #advance(): void {
    this.tick++;
    const slot = this.#slot(this.tick);
    if (slot.size === 0) return;
    const entries = [...slot];
    slot.clear();
    for (const entry of entries) {
      entry.at = 0;
      if (entry.due === 0) continue;
      if (entry.due > this.tick) this.#put(entry, entry.due);
      else {
        entry.due = 0;
        entry.onTimeout();
      }
    }
  }
}
