/**
 * Runs inside the process under test. A timer fires in each turn of the event loop, at most once a millisecond: the CPU
 * time that the thread spent between two of them is what the longest wait of a socket was made of. Unlike the clock it
 * does not count what other processes on the machine take.
 */
import http from 'node:http';

const port = Number(process.env.BENCH_MONITOR_PORT);
// Not in the processes behind a worker's first one, which inherit all of this.
if (port > 0 && process.env.ARCUS_PROCESS === undefined) {
  let cpu = 0;
  let wall = 0;
  const spent = () => {
    // Linux brings what a thread has used up to date at ticks of 4 ms, and when somebody asks for the whole process.
    process.cpuUsage();
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
  /** Buffers are freed beside the event loop, after the collection that found them: the second one waits for that. */
  const collect = async () => {
    global.gc?.();
    await new Promise((freed) => setTimeout(freed, 500));
    global.gc?.();
  };
  const server = http.createServer(async (request, response) => {
    const [blockCpuMs, blockWallMs] = [cpu, wall];
    if (request.url === '/gc') await collect();
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
