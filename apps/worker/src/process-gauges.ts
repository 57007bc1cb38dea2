import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Gauge } from './metrics.ts';

/** What the process itself costs. The event loop's delay is of the time since the last look. */
export class ProcessGauges {
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });

  constructor() {
    this.#delay.enable();
  }

  read(): Gauge[] {
    const cpu = process.cpuUsage();
    const seconds = (ns: number) => (Number.isFinite(ns) ? ns / 1e9 : 0);
    const delay = {
      'quantile="0.5"': seconds(this.#delay.percentile(50)),
      'quantile="0.99"': seconds(this.#delay.percentile(99)),
      'quantile="1"': seconds(this.#delay.max),
    };
    this.#delay.reset();
    return [
      {
        name: 'process_cpu_seconds_total',
        type: 'counter',
        help: 'CPU time used',
        value: (cpu.user + cpu.system) / 1e6,
      },
      {
        name: 'process_resident_memory_bytes',
        type: 'gauge',
        help: 'Resident memory',
        value: process.memoryUsage.rss(),
      },
      {
        name: 'process_start_time_seconds',
        type: 'gauge',
        help: 'Start of the process since the epoch',
        value: Math.round((Date.now() - process.uptime() * 1000) / 1000),
      },
      {
        name: 'arcus_event_loop_delay_seconds',
        type: 'gauge',
        help: 'How late timers fire (10 ms resolution)',
        value: delay,
      },
    ];
  }

  close(): void {
    this.#delay.disable();
  }
}
