// What stands around the client: MiniStack with a user pool, an upstream that remembers its requests, and the proxy between them.
// All of it on loopback; all files under $WORK.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const { COGNIGATE, PATH, PYTHON, WORK } = process.env;

// Nothing of the caller's AWS profile or HTTP proxy reaches the emulator and its admin client.
const cleanEnv = { PATH, HOME: WORK, TMPDIR: WORK };

const ministackEnv = {
  ...cleanEnv,
  // Without AUTH neither the confirmation code nor the SRP proof is checked.
  AUTH: 'true',
  BIND_HOST: '127.0.0.1',
  SERVICES: 'cognito-idp',
  MINISTACK_REGION: 'us-east-1',
  STATE_DIR: join(WORK, 'ministack'),
  // Listeners on fixed ports, and the first on every interface, whatever BIND_HOST says.
  IOT_MTLS_ENABLED: '0',
  SFTP_ENABLED: '0',
  // MiniStack also removes the containers that it takes for its own: it is not to find Docker.
  DOCKER_HOST: 'unix:///nonexistent.sock',
};

const children = [];

/** Starts everything and resolves once the proxy is ready. A process left by a failure ends with the caller's process group. */
export async function startStack() {
  const [ministackPort, proxyPort, adminPort] = await freePorts(3);
  const upstream = await startUpstream();

  const idp = `http://127.0.0.1:${ministackPort}/`;
  const ministack = start('ministack', PYTHON, ['-m', 'ministack'], { ...ministackEnv, GATEWAY_PORT: ministackPort });
  await ready(ministack, `${idp}_ministack/ready`);
  const pool = await createUserPool(idp);

  const config = join(WORK, 'cognigate.yaml');
  await writeFile(config, proxyConfig({ proxyPort, adminPort, idp, pool, upstreamPort: upstream.port }));
  const cognigate = start('cognigate', COGNIGATE, ['run', '-c', config], process.env);
  await ready(cognigate, `http://127.0.0.1:${adminPort}/readyz`);

  return {
    idp,
    pool,
    upstream,
    proxy: `http://127.0.0.1:${proxyPort}`,
    proxyLog: () => readFile(logFile('cognigate'), 'utf8'),
    stop() {
      for (const child of children) child.kill('SIGKILL');
      upstream.stop();
    },
  };
}

const proxyConfig = ({ proxyPort, adminPort, idp, pool, upstreamPort }) => `
listeners:
  - address: 127.0.0.1:${proxyPort}
admin:
  address: 127.0.0.1:${adminPort}
user_pools:
  main:
    id: ${pool.id}
    client_ids: ["${pool.clientId}"]
    jwks_uri: ${idp}${pool.id}/.well-known/jwks.json
upstreams:
  items:
    endpoints: [127.0.0.1:${upstreamPort}]
routes:
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main], token: id }
    upstream: items
identity:
  headers: { x-cognito-sub: sub, x-cognito-email: email }
`;

async function createUserPool(idp) {
  const { stdout } = await promisify(execFile)(PYTHON, ['user_pool.py', idp], { env: cleanEnv });
  return JSON.parse(stdout);
}

async function startUpstream() {
  const requests = [];
  const server = createServer(({ method, url, headers }, response) => {
    requests.push({ method, url, headers });
    response.end('from the upstream');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    /** The requests that arrived since the last call. */
    takeRequests: () => requests.splice(0),
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function start(name, command, args, env) {
  const log = openSync(logFile(name), 'a');
  const child = spawn(command, args, { cwd: WORK, env, stdio: ['ignore', log, log] });
  child.name = name;
  children.push(child);
  return child;
}

const logFile = (name) => join(WORK, `${name}.log`);

async function ready(child, url, limit = 30_000) {
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
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => promisify(server.close.bind(server))()));
  return ports;
}
