import { z } from 'zod';
import { type Auditor, defineAuditor, type Inspection } from '../kind.ts';
import { recognize } from './recognize.ts';

class ProtocolInspection implements Auditor {
  readonly name: string;
  readonly type = 'protocol_inspection';
  readonly #prohibitUnknown: boolean;

  constructor(config: { name: string; prohibit_unknown_protocol: boolean }) {
    this.name = config.name;
    this.#prohibitUnknown = config.prohibit_unknown_protocol;
  }

  inspectTunnel(first: Uint8Array): Inspection {
    const seen = recognize(first);
    if (seen.protocol !== 'unknown' || !this.#prohibitUnknown) return seen;
    // With `more` a caller that cannot wait denies, which is the safe side.
    return { ...seen, deny: 'the protocol in the tunnel is not known' };
  }

  explain(): string {
    const rest = this.#prohibitUnknown ? 'refuses what it does not know' : 'lets pass what it does not know';
    return `Tells the protocol of a tunnel by its first bytes and ${rest}.`;
  }
}

export const protocolInspection = defineAuditor({
  type: 'protocol_inspection',
  description: "Tells a tunnel's protocol by the first bytes of the client: TLS with its server name, HTTP, SSH, …",
  config: {
    prohibit_unknown_protocol: z.boolean().default(false).describe('Refuse tunnels whose protocol is not known'),
  },
  examples: [
    { name: 'look', type: 'protocol_inspection' },
    { name: 'strict', type: 'protocol_inspection', prohibit_unknown_protocol: true },
  ],
  create: (config) => new ProtocolInspection(config),
});
