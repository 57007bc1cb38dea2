import { connect } from 'node:net';

/** True when a TCP connection to the port succeeds; with `greeting`, only when the server then speaks first. */
export function answers(port: number, { host = '127.0.0.1', greeting = false } = {}): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
    if (greeting) socket.once('data', () => done(true));
    else socket.once('connect', () => done(true));
  });
}

/** Sends `text` and gives the first piece of the answer; '' when there is none within `deadline` milliseconds. */
export function ask(port: number, text: string, { host = '127.0.0.1', deadline = 10_000 } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (result: string) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(deadline, () => done(''));
    socket.once('error', () => done(''));
    socket.once('close', () => done(''));
    socket.once('data', (chunk) => done(chunk.toString('latin1')));
    socket.write(text);
  });
}
