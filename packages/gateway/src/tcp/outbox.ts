/**
 * What is written in the turns of many connections leaves together, at the end of the event loop's turn. Reads are cheaper
 * when reads follow each other, and so are writes: a peer that is woken by one write is still awake for the next.
 */
export interface Sender {
  /** Writes what was put off. */
  flush(): void;
}

let due: Sender[] = [];
let flushing: Sender[] = [];

/** `flush` is called once, when all that came in has been read. */
export function sendLater(sender: Sender): void {
  if (due.push(sender) === 1) setImmediate(sendDue);
}

/** Sends all that was put off. Whoever holds the event loop for long calls it first. */
export function sendDue(): void {
  const now = due;
  if (now.length === 0) return;
  due = flushing;
  flushing = now;
  for (let i = 0; i < now.length; i++) now[i]!.flush();
  now.length = 0;
}
