import type { Output } from '../output.ts';
import type { Running } from './start.ts';

/** What a person sees when everything answers. The curl line works as pasted, also without internet. */
export function banner({ ready, newToken }: Running, out: Output): string {
  const lines: [string, string][] = [
    ['API', ready.api],
    ['Docs', ready.docs],
    ['Token', newToken ?? 'as before; another: npx arcus token create'],
    ['Proxy', ready.proxy ?? 'the tenant demo has none now'],
    ...(ready.proxy ? ([['Try', `curl -x ${ready.proxy} ${ready.health}`]] as [string, string][]) : []),
    ['Data', ready.data],
  ];
  const body = lines.map(([name, value]) => `  ${out.style('bold', name.padEnd(6))} ${value}`);
  return ['', 'Arcus is ready. Ctrl-C stops it.', '', ...body, ''].join('\n');
}
