import { examine } from '../check.ts';
import { type CompileDeps, compile, type Graph } from '../compile.ts';
import type { ConfigInput } from '../config.ts';
import { FaultError } from '../fault.ts';
import type { Services } from '../services.ts';

/** Compiles a config as a person writes it, for tenant `test` if nothing else is said. Throws FaultError. */
export function testGraph(
  input: ConfigInput,
  services: Services,
  more: {
    tenant?: string;
    version?: number;
    previous?: Graph;
    status?: 'active' | 'inactive' | 'suspended';
  } & Partial<CompileDeps> = {},
): Graph {
  const { tenant = 'test', version = 1, previous, status = 'active', ...deps } = more;
  const { config, faults } = examine(input, tenant, { stored: false });
  if (!config) throw new FaultError(faults);
  const info = { tenant_id: tenant, tenant_name: 'Test', status, resource_limits: {} };
  return compile(info, version, config, { services, unseal: (value) => value, ...deps }, previous);
}
