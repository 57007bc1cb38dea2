import type { Topic } from '../lib/case.ts';
import { answers } from './answers.ts';
import { badAnswers } from './bad-answers.ts';
import { chunks } from './chunks.ts';
import { connections } from './connections.ts';
import { hop } from './hop.ts';
import { hosts } from './hosts.ts';
import { lengths } from './lengths.ts';
import { logins } from './logins.ts';
import { oldClients } from './old-clients.ts';
import { ports } from './ports.ts';
import { sizes } from './sizes.ts';
import { syntax } from './syntax.ts';
import { targets } from './targets.ts';
import { tunnels } from './tunnels.ts';
import { upgrades } from './upgrades.ts';

export const topics: readonly Topic[] = [
  targets,
  hosts,
  syntax,
  lengths,
  chunks,
  hop,
  answers,
  badAnswers,
  connections,
  tunnels,
  upgrades,
  oldClients,
  logins,
  ports,
  sizes,
];
