/** nginx as origin: static bodies of several sizes, chunked ones, and a place to post to. */
import { truncateSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { freePort, type Lab, listens } from './lab.ts';
import { programPath } from './machine.ts';

export interface Origin {
  readonly port: number;
  /** As clients name it: a name, not an address, so that domains are looked up in the policy. */
  readonly host: string;
}

const KIB = 1024;
export const POST_BYTES = 16 * KIB;
export const BIG_BYTES = 100 * 1000 * 1000;

export async function startOrigin(lab: Lab): Promise<Origin> {
  const port = await freePort();
  const root = lab.path('www');
  await mkdir(root, { mode: 0o755 });
  for (const [name, bytes] of [
    ['1k', KIB],
    ['16k', 16 * KIB],
    ['64k', 64 * KIB],
  ] as const) {
    writeFileSync(`${root}/${name}`, 'x'.repeat(bytes), { mode: 0o644 });
  }
  writeFileSync(`${root}/100m`, '');
  truncateSync(`${root}/100m`, BIG_BYTES);
  const six = Object.values(networkInterfaces()).some((list) => list?.some((a) => a.address === '::1'));
  const socket = lab.path('ok.sock');
  const config = lab.write(
    'nginx.conf',
    `daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log ${lab.path('nginx.log')} warn;
pid ${lab.path('nginx.pid')};
events { worker_connections 18000; }
http {
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  gzip off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_header_timeout 3600s;
  open_file_cache max=100;
  client_body_temp_path ${lab.path('body')};
  proxy_temp_path ${lab.path('proxy')};
  fastcgi_temp_path ${lab.path('fastcgi')};
  uwsgi_temp_path ${lab.path('uwsgi')};
  scgi_temp_path ${lab.path('scgi')};
  upstream ok { server unix:${socket}; keepalive 128; }
  server { listen unix:${socket}; location / { return 200 "ok\\n"; } }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ${six ? `listen [::1]:${port} backlog=4096;` : ''}
    root ${root};
    # No answer is like another.
    location = /varied { add_header X-Request-ID $request_id; try_files /1k =404; }
    # Server-side includes take the length away; each buffer that is read becomes a chunk.
    location = /chunked { ssi on; ssi_types *; sendfile off; output_buffers 2 4k; try_files /16k =404; }
    # The body is read to its end before the answer: a plain "return 200" would answer early.
    location = /post {
      client_body_buffer_size 128k;
      proxy_pass http://ok;
      proxy_http_version 1.1;
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_pass_request_headers off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
    }
  }
}
`,
  );
  await lab.start(programPath('nginx'), ['-c', config, '-p', lab.path('.')], { ready: () => listens(port) });
  return { port, host: 'localhost' };
}
