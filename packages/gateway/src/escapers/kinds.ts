import { directFixed } from './direct_fixed.ts';
import { dummyDeny } from './dummy_deny.ts';
import { proxyHttp } from './proxy_http.ts';
import { routeUpstream } from './route_upstream.ts';

export const escaperKinds = [directFixed, proxyHttp, routeUpstream, dummyDeny] as const;
