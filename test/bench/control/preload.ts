/**
 * Runs inside the process under test. A timer fires in each turn of the event loop, at most once a millisecond: the CPU
 * time that the thread spent between two of them is what the longest wait of a socket was made of. Unlike the clock it
 * does not count what other processes on the machine take.
 */
import http from 'node:http';

const port = Number(process.env.BENCH_MONITOR_PORT);
delete process.env.BENCH_MONITOR_PORT;
if (port > 0) {
  let cpu = 0;
  let wall = 0;
  const spent = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let lastCpu = spent();
  let lastWall = performance.now();
  const forget = () => {
    cpu = 0;
    wall = 0;
    lastCpu = spent();
    lastWall = performance.now();
  };
  const timer = setInterval(() => {
    const [nowCpu, nowWall] = [spent(), performance.now()];
    cpu = Math.max(cpu, nowCpu - lastCpu);
    wall = Math.max(wall, nowWall - lastWall - 1);
    lastCpu = nowCpu;
    lastWall = nowWall;
  }, 1);
  timer.unref();
  const server = http.createServer((request, response) => {
    const [blockCpuMs, blockWallMs] = [cpu, wall];
    if (request.url === '/gc') global.gc?.();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, external } = process.memoryUsage();
    response.end(
      JSON.stringify({
        ...{ blockCpuMs, blockWallMs, cpuMs: (user + system) / 1000 },
        ...{ rssBytes: rss, heapBytes: heapUsed, externalBytes: external },
      }),
    );
    forget();
  });
  server.listen(port, '127.0.0.1');
  server.unref();
}
