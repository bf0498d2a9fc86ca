// Servers and programs on loopback. A program's files, its log among them, are under $WORK.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const { COGNIGATE, PATH, WORK } = process.env;

/** Nothing of the caller's settings, such as an AWS profile or an HTTP proxy, reaches a program that gets this environment. */
export const cleanEnv = { PATH, HOME: WORK, TMPDIR: WORK };

const children = [];
const servers = [];

/** Ends everything that was started here. What a failure leaves behind ends with the caller's process group. */
export function stopAll() {
  for (const child of children) child.kill('SIGKILL');
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}

/** Serves HTTP and resolves to the port, one that the kernel chose. */
export async function serve(handler) {
  const server = createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return server.address().port;
}

/** An upstream that remembers its requests and has them answered by `answer(request, response)`. */
export async function startUpstream(answer) {
  const requests = [];
  const port = await serve((request, response) => {
    const { method, url, headers } = request;
    requests.push({ method, url, headers });
    answer(request, response);
  });
  /** The requests that arrived since the last call. */
  const takeRequests = () => requests.splice(0);
  return { port, takeRequests };
}

/** Starts the proxy with the text of a configuration file and resolves once it is ready. */
export async function startProxy(text, adminPort) {
  const config = join(WORK, 'cognigate.yaml');
  await writeFile(config, text);
  const cognigate = start('cognigate', COGNIGATE, ['run', '-c', config], process.env);
  await ready(cognigate, `http://127.0.0.1:${adminPort}/readyz`);
}

export const proxyLog = () => readFile(logFile('cognigate'), 'utf8');

export function start(name, command, args, env) {
  const log = openSync(logFile(name), 'a');
  const child = spawn(command, args, { cwd: WORK, env, stdio: ['ignore', log, log] });
  child.name = name;
  children.push(child);
  return child;
}

const logFile = (name) => join(WORK, `${name}.log`);

/** Waits until the program answers at `url` with 200. */
export async function ready(child, url, limit = 30_000) {
  const deadline = Date.now() + limit;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${child.name} ended with ${child.exitCode ?? child.signalCode} before it was ready`);
    }
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    await pause(50);
  }
  throw new Error(`${child.name} was not ready within ${limit} ms`);
}

/** Ports that were free a moment ago; all are held until the last is known, so that they differ. */
export async function freePorts(count) {
  const holders = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(holders.map((holder) => once(holder, 'listening')));
  const ports = holders.map((holder) => holder.address().port);
  await Promise.all(holders.map((holder) => promisify(holder.close.bind(holder))()));
  return ports;
}
