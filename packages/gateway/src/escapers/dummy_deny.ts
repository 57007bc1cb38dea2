import { GatewayError } from '../errors.ts';
import { defineEscaper, type Egress, type Escaper } from '../kind.ts';

class DummyDeny implements Escaper {
  readonly name: string;
  readonly type = 'dummy_deny';

  constructor(name: string) {
    this.name = name;
  }

  connect(): Promise<Egress> {
    return Promise.reject(new GatewayError('escaper_denied', `escaper ${this.name} lets nothing out`));
  }

  explain(): string {
    return 'Lets nothing out.';
  }
}

export const dummyDeny = defineEscaper({
  type: 'dummy_deny',
  description: 'Lets nothing out: every session that is routed here is refused',
  config: {},
  examples: [{ name: 'deny', type: 'dummy_deny' }],
  create: (config) => new DummyDeny(config.name),
});
