import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder that is gone after `close()`, and at the latest when this process exits. */
export function tempDir(name = 'test'): { path: string; close(): void } {
  const path = mkdtempSync(join(tmpdir(), `arcus-${name}-`));
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  return {
    path,
    close() {
      process.off('exit', remove);
      remove();
    },
  };
}
