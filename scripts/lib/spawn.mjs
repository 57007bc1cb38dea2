import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from './root.mjs';

/**
 * Where Node keeps what it makes of our modules, see packages/control/src/compile-cache.ts: the same folder is said
 * there, which cannot be read here, as Node 20 may run this.
 */
export const compileCache = join(root, 'node_modules', '.cache', 'arcus');

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

/**
 * Runs a program in place of this one: same terminal, same directory, signals go through to it.
 * Resolves to its exit code (128 + number when a signal ended it, as a shell says it).
 * A Ctrl-C reaches the program twice or more (terminal, npm, here): it must count those within an instant as one.
 * @param {string} program @param {readonly string[]} args
 * @returns {Promise<number>}
 */
export function handOver(program, args) {
  // The project's own tools, and the Node that came with them, come first.
  const PATH = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const env = { NODE_COMPILE_CACHE: compileCache, ...process.env, PATH };
  const child = spawn(program, args, { stdio: 'inherit', env });
  const forward = forwarded.map((signal) => {
    const listener = () => child.kill(signal);
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  const orphaned = whenOrphaned(() => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const undo of forward) undo();
      clearInterval(orphaned);
      resolve(signal === null ? (code ?? 1) : 128 + (constants.signals[signal] ?? 0));
    });
  });
}

/**
 * An npm that was killed with SIGKILL passes nothing on: that the parent is gone is then the only sign. Without npm it
 * means nothing: a shell may well leave before us. (The scripts in package.json begin with `exec`, because the shell
 * that npm would else put in between keeps a SIGINT to npm for itself.)
 */
function whenOrphaned(then) {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    then();
  }, 250);
  return timer.unref();
}

/**
 * Runs a program that has nothing to say unless it fails; throws with its output then.
 * @param {string} program @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, what: string }} options `what` completes "could not …"
 */
export function quietly(program, args, { cwd, env = process.env, what }) {
  const result = spawnSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.error) throw new Error(`could not ${what}: ${result.error.message}`);
  if (result.status !== 0) {
    const output = `${result.stdout}${result.stderr}`.trim();
    throw new Error(
      `could not ${what}: ${program} ${args.join(' ')} ended with ${result.status ?? result.signal}\n${output}`,
    );
  }
}
