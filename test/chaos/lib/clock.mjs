/**
 * Loaded before a program (`node --import`): its wall clock is off by as many ms as the file ARCUS_TEST_CLOCK says now.
 * Timers run on, as they do when somebody sets the clock of a machine.
 */
import { readFileSync } from 'node:fs';

const file = process.env.ARCUS_TEST_CLOCK;
const RealDate = Date;
let offset = 0;
const read = () => {
  try {
    offset = Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    // Nobody set it.
  }
};

if (file) {
  read();
  setInterval(read, 100).unref();
  globalThis.Date = class extends RealDate {
    constructor(...given) {
      if (given.length === 0) super(RealDate.now() + offset);
      else super(...given);
    }
    static now() {
      return RealDate.now() + offset;
    }
  };
}
