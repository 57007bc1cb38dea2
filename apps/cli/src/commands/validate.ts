import { examine } from '@arcus/gateway/check.ts';
import { compile } from '@arcus/gateway/compile.ts';
import type { Config } from '@arcus/gateway/config.ts';
import { type Fault, FaultError } from '@arcus/gateway/fault.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { CommandError, defineCommand, NO, OK, TROUBLE } from '../command.ts';
import { type ConfigFile, type FileFault, placed, printFaults, readConfigFile, syntaxFaults } from '../config-file.ts';

export const validate = defineCommand({
  name: 'validate',
  summary: 'Check config files without any server: the same parse, check and compile as the API and the workers',
  args: ['FILE…'],
  flags: { tenant: { value: 'TENANT', description: "Check them as this tenant's; default: as the shared config" } },
  remote: false,
  notes:
    'Prints "file:line:col pointer message" for each fault, to stdout. Exit code: 0 all are valid, 1 some are not,\n' +
    '2 some cannot be read. FILE is JSON or YAML; - is the standard input. What needs the others (an address that another tenant listens\n' +
    'on) is found by "arcus push --dry-run".',
  examples: ['arcus validate acme.yaml', 'arcus validate --json tenants/*.yaml'],
  async run({ args, values, out }) {
    const faults: FileFault[] = [];
    const unread: string[] = [];
    for (const name of args) {
      try {
        for (const fault of faultsOf(await readConfigFile(name), values.tenant ?? '_global')) faults.push(fault);
      } catch (error) {
        // The other files are told of all the same.
        if (!(error instanceof CommandError)) throw error;
        unread.push(error.message);
      }
    }
    if (out.json) out.data({ valid: faults.length === 0 && unread.length === 0, files: args.length, faults, unread });
    else {
      printFaults(out, faults);
      for (const message of unread) out.warn(`arcus: ${message}`);
    }
    if (unread.length > 0) return TROUBLE;
    return faults.length === 0 ? OK : NO;
  },
});

function faultsOf(file: ConfigFile, tenant: string): FileFault[] {
  const syntax = syntaxFaults(file);
  if (syntax.length > 0) return syntax;
  const { config, faults } = examine(file.parsed.value, tenant, { stored: false });
  return placed(file, config ? compileFaults(config, tenant) : faults);
}

/** What only building the graph finds. Nothing listens and nothing dials; secrets are whatever they are. */
function compileFaults(config: Config, tenant: string): readonly Fault[] {
  const wheel = new Wheel();
  try {
    const info = { tenant_id: tenant, tenant_name: tenant, status: 'active', resource_limits: {} } as const;
    const now = Date.now;
    const services = { now, wheel, stats: new Stats(), limits: new Limits(now), record: () => {}, worker: 'validate' };
    compile(info, 1, config, { services, unseal: () => 'secret', stored: false }).retire();
    return [];
  } catch (error) {
    if (error instanceof FaultError) return error.faults;
    throw error;
  } finally {
    wheel.close();
  }
}
