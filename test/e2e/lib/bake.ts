/**
 * The watching of a step of a rollout, ended by the test: one that ends by itself would be over too early for what is
 * done meanwhile, on a machine that stands still for a moment.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ask } from '@arcus/testkit/connect.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Deployment } from './deployment.ts';

/** Ends that of a step (1, 2 …) once the management service can see that requests went through `worker` meanwhile. */
export async function endBake(
  { database, redis }: Deployment,
  { tenant, worker, step }: { tenant: string; worker: string; step: number },
): Promise<void> {
  const sql = async (statement: string) => {
    const to = ['--no-defaults', '-h127.0.0.1', `-P${database!.port}`, '-uarcus', '-parcus', 'arcus'];
    return (await promisify(execFile)('mariadb', [...to, '-N', '-B', '-e', statement])).stdout.trim();
  };
  const watched = `state = 'running' AND phase = 'baking' AND step = ${step - 1} AND baseline IS NOT NULL`;
  const baking = `tenant_id = '${tenant}' AND ${watched}`;
  const counted = `SELECT JSON_VALUE(baseline, '$.${worker}.requests') FROM rollouts WHERE ${baking}`;
  const first = await until(() => sql(counted), { deadline: 60_000, what: 'the step is watched' });
  const counters = `HGET arcus:metrics:tenant:${tenant}:${worker} tenant::requests\r\n`;
  const now = async () => Number((await ask(redis!.port, counters)).split('\r\n')[1]);
  await until(async () => (await now()) > Number(first), { deadline: 60_000, what: 'requests are counted' });
  // A phase that began at another moment is watched anew, and the end of this one has passed.
  const over = "step_at = step_at + INTERVAL 1000 MICROSECOND, bake_until = '2020-01-01', changes = changes + 1";
  await sql(`UPDATE rollouts SET ${over} WHERE ${baking}`);
}
